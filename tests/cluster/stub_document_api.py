"""A server that plays Vespa's /document/v1 for ``vespa feed``, which speaks HTTP/2 without TLS."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

RECEIVE_BYTES = 1 << 16
CLIENT_BYTES = 1 << 24
"""What the client may send before it must be told that it was read: more than a test does."""


@dataclass
class Put:
    """One request: the id that its path spells, as Vespa reads it, and its body."""

    id: str
    body: str


@dataclass
class DocumentApi:
    url: str
    puts: list[Put] = field(default_factory=list)
    status: str = "200"


@dataclass
class _Stream:
    headers: dict[str, str]
    body: bytes = b""


def document_id_of(path: str) -> str:
    """Return the id that a path spells, each segment decoded as java.net.URLDecoder does."""
    parts = [unquote_plus(each) for each in path.partition("?")[0].split("/")[3:]]
    namespace, kind, scheme, *rest = parts
    if scheme == "docid":
        return f"id:{namespace}:{kind}::{rest[0]}"
    return f"id:{namespace}:{kind}:{scheme[0]}={rest[0]}:{rest[1]}"


def _serve(api: DocumentApi, connection: socket.socket) -> None:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, RequestReceived, StreamEnded

    http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    http.initiate_connection()
    http.increment_flow_control_window(CLIENT_BYTES)
    connection.sendall(http.data_to_send())
    streams: dict[int, _Stream] = {}
    while data := connection.recv(RECEIVE_BYTES):
        for event in http.receive_data(data):
            if isinstance(event, RequestReceived):
                streams[event.stream_id] = _Stream({str(k): str(v) for k, v in event.headers})
            elif isinstance(event, DataReceived):
                streams[event.stream_id].body += event.data
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                _answer(api, http, event.stream_id, streams.pop(event.stream_id))
        connection.sendall(http.data_to_send())


def _answer(api: DocumentApi, http: object, number: int, stream: _Stream) -> None:
    packed = stream.headers.get("content-encoding") == "gzip"
    body = gzip.decompress(stream.body) if packed else stream.body
    identifier = document_id_of(stream.headers[":path"])
    api.puts.append(Put(identifier, body.decode()))
    http.send_headers(number, [(":status", api.status), ("content-type", "application/json")])  # type: ignore[attr-defined]
    http.send_data(number, json.dumps({"id": identifier}).encode(), end_stream=True)  # type: ignore[attr-defined]


@contextlib.contextmanager
def document_api() -> Iterator[DocumentApi]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = DocumentApi(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        connections: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                _serve(api, connection)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield api
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
