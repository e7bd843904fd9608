"""A loopback server that sends whatever bytes a test wants: what no well-made server would."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

Body = dict[str, Any]
Reply = bytes | list[bytes]
"""Bytes to send; of several, one after the other."""


class RawServer:
    """Answers each request with ``reply(body, number)``, then closes the connection."""

    def __init__(self, reply: Callable[[Body, int], Reply]) -> None:
        self._reply = reply
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.bodies: list[Body] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._socket.close()

    def record(self, head: bytes) -> None:
        """Take the head of a request; a test may."""

    def look(self, path: str) -> bytes:
        """Answer a GET."""
        return response({"error": f"no {path}"}, "404 Not Found")

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(60)  # a client that stays and is silent keeps no thread
            body, head = _read_body(connection)
            self.record(head)
            if head.startswith(b"GET"):
                connection.sendall(self.look(head.split()[1].decode()))
                return
            with self._lock:
                self.bodies.append(body)
                number = len(self.bodies) - 1
            reply = self._reply(body, number)
            for part in [reply] if isinstance(reply, bytes) else reply:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def _read_body(connection: socket.socket) -> tuple[Body, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    n = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(rest) < n:
        rest += _receive(connection)
    return (json.loads(rest) if rest else {}), head


def _receive(connection: socket.socket) -> bytes:
    if data := connection.recv(65536):
        return data
    raise ConnectionError("the client left before its request was whole")


def response(
    body: object, status: str = "200 OK", headers: str = "", kind: str = "application/json"
) -> bytes:
    """A well-made response around a body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n{headers}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode("latin-1") + content


def chat(text: object = "The answer is 42.", finish: str = "stop", **message: Any) -> Body:  # noqa: ANN401 - JSON
    """An answer of chat completions."""
    choice = {"index": 0, "finish_reason": finish, "message": {"content": text, **message}}
    return {"id": "x", "model": "m", "choices": [choice]}


def messages(text: str = "The answer is 42.") -> Body:
    """An answer of Anthropic's messages."""
    content = [{"type": "text", "text": text}]
    usage = {"input_tokens": 9, "output_tokens": 5}
    common: Body = {"type": "message", "role": "assistant", "model": "m", "content": content}
    return common | {"stop_reason": "end_turn", "usage": usage}
