"""A server that answers as it is told and keeps what it was sent: Vespa's deploy API."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: str = json.dumps({"session-id": "3", "log": []})


Answer = Callable[[Sent], Reply]


@dataclass
class StubServer:
    url: str
    port: int
    requests: list[Sent] = field(default_factory=list)
    answer: Answer = lambda _sent: Reply()
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def uploads(self) -> list[Sent]:
        return [each for each in self.requests if each.content_type == "application/zip"]

    def hang(self) -> None:
        """Accept requests and never answer, until the test ends."""

        def wait(_sent: Sent) -> Reply:
            self.gate.wait(60)
            return Reply()

        self.answer = wait


def _handler(server: StubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            kind = self.headers.get("content-type") or ""
            sent = Sent(self.command, self.path, kind, self.content())
            server.requests.append(sent)
            reply = server.answer(sent)
            body = reply.body.encode()
            with contextlib.suppress(OSError):
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = reply  # noqa: N815 - what http.server calls

        def content(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def stub_server() -> Iterator[StubServer]:
    stub = StubServer(url="", port=0)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    http.daemon_threads = True
    http.block_on_close = False
    stub.port = http.server_port
    stub.url = f"http://127.0.0.1:{stub.port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.gate.set()
        http.shutdown()
        http.server_close()
        thread.join()
