"""Headless Chromium, driven over the DevTools protocol through a pair of pipes: no client needed.

Messages are JSON ended by a NUL byte; Chromium reads them from file descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_S = 30.0


@dataclass(kw_only=True)
class Browser:
    """One open tab."""

    to: int
    """Where commands are written."""
    back: int
    """Where answers and events are read."""
    session: str = ""
    """Of the tab."""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Everything that it said unasked."""
    _last: int = 0
    _unread: bytes = b""

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._last += 1
        message: dict[str, object] = {"id": self._last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.events.append(answer)

    def run(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """What an expression is in the page; a promise is awaited."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true in the page."""
        until = time.monotonic() + WAIT_S
        while not self.run(expression):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.02)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        page = (
            f"location.href.split('#')[0] === {address.partition('#')[0]!r}"  # it may set the hash
        )
        self.wait(f"document.readyState === 'complete' && {page}")

    def click(self, selector: str) -> None:
        """Click in the middle of an element, with a mouse."""
        at = self.run(
            f"(() => {{ const e = document.querySelector({selector!r});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1
            )

    def screenshot(self, path: Path, **params: object) -> None:
        shot = self.call("Page.captureScreenshot", format="png", **params)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            piece = os.read(self.back, 1 << 16)
            assert piece, "the browser ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def browser(profile: Path) -> Generator[Browser]:
    """A tab of a browser of its own, with its events switched on."""
    assert CHROMIUM
    theirs, to = os.pipe()
    back, ours = os.pipe()
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
        *("--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking"),
        *(f"--user-data-dir={profile}", "--window-size=1280,900", "about:blank"),
    ]

    def hand_over() -> None:
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs, ours)]
        for number, end in enumerate(ends, start=3):
            os.dup2(end, number)

    process = subprocess.Popen(
        command,
        close_fds=False,  # ours are not inherited anyway, but for 3 and 4
        preexec_fn=hand_over,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(ours)
    try:
        tab = Browser(to=to, back=back)
        pages = tab.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        attached = tab.call("Target.attachToTarget", targetId=page, flatten=True)
        tab.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        yield tab
    finally:
        os.close(to)
        os.close(back)
        process.terminate()
        process.wait(timeout=WAIT_S)
