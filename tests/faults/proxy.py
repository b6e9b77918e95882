"""A small HTTP proxy in front of an S3 server that fails some requests, at random."""

import asyncio
import random
import threading
from collections import Counter

FAULTS = ("500", "503", "cut", "hang")
"""A status; a reply that breaks off in its middle; no reply at all."""

_ERROR = (
    "HTTP/1.1 {status} Broken\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    "Content-Length: {length}\r\n\r\n{body}"
)
_CODES = {"500": "InternalError", "503": "SlowDown"}


class FaultyProxy:
    """Passes requests on, unchanged but for `Connection: close`.

    shares: {fault: probability}, may be changed at any time. counts: requests by what
    happened to them ("ok", a fault).
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.shares: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self._upstream, self._random = port, random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._handle, "127.0.0.1", 0), self._loop
        )
        self._server = started.result()
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _pick(self) -> str:
        at = self._random.random()
        for fault, share in self.shares.items():
            if at < share:
                return fault
            at -= share
        return "ok"

    async def _handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fault = self._pick()
            self.counts[fault] += 1
            if fault == "hang":
                await asyncio.sleep(3600)
            elif fault in _CODES:
                body = f"<Error><Code>{_CODES[fault]}</Code></Error>"
                reply = _ERROR.format(status=fault, length=len(body), body=body)
                writer.write(reply.encode())
            else:
                await self._pass_on(head, reader, writer, cut=fault == "cut")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a side went away; the other one sees its connection close
        finally:
            writer.close()

    async def _pass_on(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cut: bool,
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(
            "127.0.0.1", self._upstream
        )
        lines = [
            line
            for line in head.split(b"\r\n")
            if line and not line.lower().startswith(b"connection:")
        ]
        up_writer.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        upload = asyncio.create_task(_copy(reader, up_writer))
        try:
            if cut:
                data = await up_reader.read(2**20)
                writer.write(data[: len(data) // 2])
            else:
                await _copy(up_reader, writer)
        finally:
            upload.cancel()
            await asyncio.wait([upload])
            up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
