"""A real OpenAI-compatible endpoint whose answers a test writes, faults among them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the endpoint answers to a request, and how."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    """Seconds before it answers."""

    code: str = ""
    """Code of the error that a status other than 200 is sent with."""

    body: str | None = None
    """Sent as it is in place of a chat completion."""


TOKENS_IN, TOKENS_OUT = 100, 7
"""Tokens that the endpoint reports for every answer."""

Script = Callable[[str, int], Reply]
"""(question, how often it was asked before) -> reply."""


class JudgeServer:
    """An endpoint that replies by a script and records the requests."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.answered = 0
        """Requests that got a chat completion: those that are paid for."""

        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def questions(self) -> list[str]:
        """The questions asked so far, in order."""
        return [body["messages"][0]["content"] for body in self.bodies]

    def reply(self, body: dict[str, Any], key: str | None) -> Reply:
        """Record a request; returns the script's reply."""
        with self._lock:
            question = body["messages"][0]["content"]
            before = self.questions.count(question)
            self.bodies.append(body)
            self.keys.append(key)
            self.times.append(time.monotonic())
        return self.script(question, before)

    def count_answer(self) -> None:
        with self._lock:
            self.answered += 1

    @contextmanager
    def serving(self) -> Iterator["JudgeServer"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    endpoint: JudgeServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions", self.path
        reply = self.endpoint.reply(body, self.headers["Authorization"])
        time.sleep(reply.hang)
        if reply.body is not None:
            data: Any = reply.body
        elif reply.status != 200:
            data = {"error": {"message": reply.text, "code": reply.code or None}}
        else:
            data = _completion(reply.text)
            self.endpoint.count_answer()
        payload = (data if isinstance(data, str) else json.dumps(data)).encode()
        try:
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json"} | reply.headers
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except OSError:  # the client has hung up
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": TOKENS_IN,
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        },
    }
