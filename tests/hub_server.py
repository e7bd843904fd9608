"""A hub of data sets on loopback, with the parts of its API that the client asks for."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def make_parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    target = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows]), target)
    return target.getvalue()


@dataclass
class FakeHub:
    """Repositories, and what was asked for."""

    url: str = ""
    sets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """``OWNER/SET`` or ``OWNER/SET@REVISION`` -> file -> content."""
    commits: dict[str, str] = field(default_factory=dict)
    """Repository -> its commit, where it is not made of its name."""
    gated: set[str] = field(default_factory=set)
    """Repositories whose files need terms to be accepted."""
    lies: dict[str, bytes] = field(default_factory=dict)
    """File -> what is sent in place of its content."""
    cuts: dict[str, int] = field(default_factory=dict)
    """File -> how many bytes are sent before the first answer breaks off."""
    asked: list[str] = field(default_factory=list)
    """``METHOD PATH [RANGE]`` of every request."""

    def commit(self, repo: str) -> str:
        """Return the commit that a repository is at."""
        return self.commits.get(repo) or hashlib.sha1(repo.encode()).hexdigest()

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        """Return the files of a revision; None: there is no such thing."""
        if revision in {"main", self.commit(repo)}:
            return self.sets.get(repo)
        by_name = {self.commit(key): key for key in self.sets}
        return self.sets.get(f"{repo}@{revision}") or self.sets.get(by_name.get(revision, ""))


@contextmanager
def serve_hub() -> Generator[FakeHub]:  # noqa: C901 - a handler within, which sees the hub
    """Serve a hub until the end of the block."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{path} {self.headers.get('Range', '')}".strip())
            if path.startswith("/api/datasets/"):
                repo, _, revision = path.removeprefix("/api/datasets/").partition("/revision/")
                self.list_files(repo, revision or "main")
            else:
                repo, _, place = path.removeprefix("/datasets/").partition("/resolve/")
                revision, _, name = place.partition("/")
                self.send_file(repo, revision, name)

        def list_files(self, repo: str, revision: str) -> None:
            files = hub.files(repo, revision)
            if repo not in hub.sets:
                self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="not found")
                return
            if files is None:
                self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="no revision")
                return
            key = repo if revision in {"main", hub.commit(repo)} else f"{repo}@{revision}"
            siblings = [
                {
                    "rfilename": name,
                    "size": len(content),
                    "blobId": "0",
                    "lfs": {
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "size": len(content),
                        "pointerSize": 1,
                    },
                }
                for name, content in files.items()
            ]
            body = {"id": repo, "sha": hub.commit(key), "siblings": siblings}
            self.answer(200, json.dumps(body).encode(), Content_Type="application/json")

        def send_file(self, repo: str, revision: str, name: str) -> None:
            if repo in hub.gated:
                self.answer(403, X_Error_Code="GatedRepo", X_Error_Message="accept the terms")
                return
            files = hub.files(repo, revision) or {}
            content = hub.lies.get(name, files.get(name))
            if content is None:
                self.answer(404, X_Error_Code="EntryNotFound", X_Error_Message="no file")
                return
            first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            if cut := hub.cuts.pop(name, 0):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:cut])
                self.close_connection = True
                return
            total = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.answer(206 if first else 200, content[first:], Content_Range=total)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
