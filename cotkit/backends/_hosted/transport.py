"""Connections of the SDKs as we want them: bounded answers of one server, no proxy to loopback."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from cotkit.backends._hosted.faults import RedirectedError
from cotkit.backends._hosted.proxies import check_proxies, is_loopback

_MAX_BYTES = 64 * 1024 * 1024  # of an answer, unpacked: a thousand times the longest text
_MAX_ERROR_BYTES = 64 * 1024  # of what comes with another status: the rest is not read
_STREAMED = ("/files/", "/results")  # files of batches are read line by line
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # zlib's wbits; 47: finds out by itself


class OversizedError(Exception):
    """An answer that is larger than any text of a model, or packed in a way not asked for."""


def client_options(base_url: str) -> dict[str, Any]:
    """Return keyword arguments for the HTTP client of an SDK.

    Raises:
        UsageError: a proxy of the environment is none that can be used.
    """
    check_proxies()
    is_near = is_loopback(urlsplit(base_url).hostname or "")
    mounts: Mapping[str, None] = {"all://": None, "http://": None, "https://": None}
    return {
        "event_hooks": {"response": [_stay, _bound]},
        "headers": {"accept-encoding": "gzip, deflate"},
        **({"mounts": mounts} if is_near else {}),
    }


async def _stay(response: httpx2.Response) -> None:
    """Follow no redirect to another server: headers with keys would go there, too."""
    if not response.has_redirect_location:
        return
    url = response.request.url
    target = url.join(response.headers["location"])
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        await response.aclose()
        raise RedirectedError(f"{target.scheme}://{target.netloc.decode('ascii', 'replace')}")


async def _bound(response: httpx2.Response) -> None:
    """Let the body of a response be unpacked within limits, before anybody reads it."""
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in {"", "identity"}:
        packing = ""
    elif packing not in _WINDOWS:
        await response.aclose()
        raise OversizedError(f"an answer packed as {packing[:40]!r}, which was not asked for")
    if packing:
        del response.headers["content-encoding"]
    inner = cast("httpx2.AsyncByteStream", response.stream)
    if response.status_code >= 400:
        response.headers.pop("content-length", None)
        response.stream = BoundedStream(inner, packing, _MAX_ERROR_BYTES, is_cut=True)
        return
    is_file = any(part in response.request.url.path for part in _STREAMED)
    response.stream = BoundedStream(inner, packing, None if is_file else _MAX_BYTES)


class BoundedStream(httpx2.AsyncByteStream):
    """The bytes of another stream, unpacked and counted."""

    def __init__(
        self,
        inner: httpx2.AsyncByteStream,
        packing: str,
        most: int | None,
        *,
        is_cut: bool = False,
    ) -> None:
        """``most``: bytes, unpacked; ``is_cut``: what is longer ends there."""
        self._inner, self._packing, self._most, self._is_cut = inner, packing, most, is_cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes.

        Raises:
            OversizedError: they are too many, or not packed as the server says.
        """
        n_bytes = 0
        async for chunk in _unpack(self._inner, self._packing):
            n_bytes += len(chunk)
            if self._most is not None and n_bytes > self._most:
                if self._is_cut:
                    yield chunk[: self._most - n_bytes]  # without what is beyond
                    return
                raise OversizedError(f"an answer of more than {self._most // 2**20} MB")
            yield chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()


async def _unpack(chunks: httpx2.AsyncByteStream, packing: str) -> AsyncIterator[bytes]:
    """Yield unpacked bytes in pieces of at most a megabyte."""
    unpacker = Unpacker(packing) if packing else None
    async for chunk in chunks:
        for piece in unpacker.feed(chunk) if unpacker else (chunk,):
            yield piece
    if unpacker and not unpacker.is_complete:
        raise OversizedError("an answer that is packed and was cut off")


class Unpacker:
    """Unpacks one body piece by piece."""

    def __init__(self, packing: str) -> None:
        self._inner = zlib.decompressobj(_WINDOWS[packing])
        self._may_be_raw = packing == "deflate"  # some servers leave zlib's header out

    @property
    def is_complete(self) -> bool:
        """Whether the end of the packed data came."""
        return self._inner.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what some more packed bytes hold, at most a megabyte at a time.

        Raises:
            OversizedError: they are not packed as the server says.
        """
        while packed and not self._inner.eof:
            try:
                piece = self._inner.decompress(packed, 2**20)
            except zlib.error as broken:
                if not self._may_be_raw:
                    raise OversizedError(f"an answer that does not unpack: {broken}") from broken
                self._inner, piece = zlib.decompressobj(-zlib.MAX_WBITS), b""
            else:
                packed = self._inner.unconsumed_tail
            self._may_be_raw = False
            yield piece
