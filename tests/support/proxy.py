"""A small HTTP proxy in front of an S3 server that fails some requests, at random."""

import contextlib
import random
import socket
import socketserver
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
        self._port, self._random = port, random.Random(seed)
        self._lock, self._closed = threading.Lock(), threading.Event()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # a side went away
                    proxy._handle(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _pick(self) -> str:
        with self._lock:
            at, picked = self._random.random(), "ok"
            for fault, share in self.shares.items():
                if 0 <= at < share:
                    picked = fault
                at -= share
            self.counts[picked] += 1
            return picked

    def _handle(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(2**16)
            if not data:
                return
            head += data
        fault = self._pick()
        if fault == "hang":
            self._closed.wait()
        elif fault in _CODES:
            body = f"<Error><Code>{_CODES[fault]}</Code></Error>"
            reply = _ERROR.format(status=fault, length=len(body), body=body)
            client.sendall(reply.encode())
        else:
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                _pass_on(head, client, server, cut=fault == "cut")


def _pass_on(
    head: bytes, client: socket.socket, server: socket.socket, cut: bool
) -> None:
    lines, body = head.split(b"\r\n\r\n", 1)
    kept = [
        line
        for line in lines.split(b"\r\n")
        if not line.lower().startswith(b"connection:")
    ]
    server.sendall(b"\r\n".join([*kept, b"Connection: close", b"", body]))
    upload = threading.Thread(target=_copy, args=(client, server), daemon=True)
    upload.start()
    try:
        if cut:
            data = server.recv(2**20)
            client.sendall(data[: len(data) // 2])
        else:
            _copy(server, client)
    finally:
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)  # ends the upload
        upload.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
