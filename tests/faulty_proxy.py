"""A small HTTP proxy in front of an S3 endpoint: it counts bytes, adds latency, and injects faults.

It passes requests on with the Host they were signed for. What is injected comes as the real thing
would: an answer of S3 in XML, a socket that is reset, a body that ends early.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Decide = Callable[[str, str, int], "str | None"]  # method, path with query, number of the request → fault

ANSWERS = {
    "slow down": (503, "SlowDown", "Please reduce your request rate."),
    "server error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "expired": (403, "ExpiredToken", "The provided token has expired."),
    "no bucket": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "denied": (403, "AccessDenied", "Access Denied"),
}
SLOW = 0.3  # seconds until the first byte of "slow first byte"


@dataclass
class Traffic:
    """What went through: requests by method, bytes of bodies sent to the client, most requests at one time."""

    requests: Counter[str] = field(default_factory=Counter)
    bytes_out: int = 0
    at_once: int = 0
    most_at_once: int = 0
    injected: Counter[str] = field(default_factory=Counter)


class FaultyProxy:
    """`decide` names the fault of a request, or None; `latency` is added to each (s)."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self.target = (str(parts.hostname), int(parts.port or 80))
        self.latency = 0.0
        self.decide: Decide = lambda method, path, number: None
        self.hang = 3.0  # seconds that "timeout" keeps a client waiting
        self.hide: set[str] = set()  # keys that listings leave out
        self.hide_new = False  # leave out whatever is written from now on
        self.traffic = Traffic()
        self.lock = threading.Lock()
        self.number = 0
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> Traffic:
        """Begin to count anew; returns what was counted."""
        before, self.traffic, self.number = self.traffic, Traffic(), 0
        return before

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def faulty_proxy(endpoint: str) -> Iterator[FaultyProxy]:
    """Run a proxy in front of an endpoint."""
    proxy = FaultyProxy(endpoint)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # else each header is a packet of its own

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Let the client send its body: at once, it waits for this."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _handle(self) -> None:
        proxy = self.owner
        body = self._body()
        with proxy.lock:
            proxy.number += 1
            number = proxy.number
            proxy.traffic.requests[self.command] += 1
            proxy.traffic.at_once += 1
            proxy.traffic.most_at_once = max(proxy.traffic.most_at_once, proxy.traffic.at_once)
        try:
            fault = proxy.decide(self.command, self.path, number)
            if fault:
                with proxy.lock:
                    proxy.traffic.injected[fault] += 1
            time.sleep(proxy.latency)
            self._answer(fault, body)
            self.wfile.flush()
        finally:
            with proxy.lock:
                proxy.traffic.at_once -= 1

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, fault: str | None, body: bytes) -> None:
        if fault in ANSWERS:
            self._error(*ANSWERS[fault])
        elif fault == "timeout":
            time.sleep(self.owner.hang)
            self._drop()
        elif fault == "refused" or (fault == "reset" and self.command != "GET"):  # as close as an open port comes
            self._drop()
        else:
            if fault == "slow first byte":
                time.sleep(SLOW)
            self._pass_on(fault, body)

    def _drop(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()  # a reset, not an end
        raise ConnectionResetError

    def _error(self, status: int, code: str, message: str) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._send(status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else text)

    def _pass_on(self, fault: str | None, body: bytes) -> None:
        proxy = self.owner
        connection = HTTPConnection(*proxy.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body=body, headers=headers)
        answer: HTTPResponse = connection.getresponse()
        data = answer.read()
        connection.close()
        if proxy.hide_new and self.command in ("PUT", "POST") and answer.status < 300:
            proxy.hide.add(unquote(urlsplit(self.path).path).split("/", 2)[-1])
        if self.command == "GET" and "list-type" in parse_qs(urlsplit(self.path).query):
            data = _without(data, proxy.hide)
        kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in ("content-length", "connection",
                "transfer-encoding", "date", "server")]  # fmt: skip
        if fault == "short read" and len(data) > 1:
            data = data[: len(data) // 2]
        elif fault == "garbage" and self.command == "GET":
            data, kept = b"<html>Welcome to the hotel's network</html>", [("Content-Type", "text/html")]
        if self.command == "HEAD":
            kept.append(("Content-Length", answer.getheader("Content-Length") or "0"))
        whole = len(data)
        if fault in ("reset", "truncated") and whole:
            data = data[: whole // 2]
        self._send(answer.status, kept, data, None if self.command == "HEAD" else whole)
        if fault == "reset" and whole:
            self.wfile.flush()
            self._drop()
        if fault == "truncated" and whole:
            self.wfile.flush()
            self.close_connection = True

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int | None = -1) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if length is not None and status != 204:
            self.send_header("Content-Length", str(len(data) if length == -1 else length))
        self.end_headers()
        self.wfile.write(data)
        with self.owner.lock:
            self.owner.traffic.bytes_out += len(data)


def _without(listing: bytes, hidden: set[str]) -> bytes:
    """Leave keys out of an answer to ListObjectsV2."""
    text = listing.decode()
    for entry in re.findall(r"<Contents>.*?</Contents>", text, re.DOTALL):
        key = re.search(r"<Key>(.*?)</Key>", entry, re.DOTALL)
        if key and unquote(key.group(1)) in hidden:
            text = text.replace(entry, "")
    prefixes = re.findall(r"<CommonPrefixes>.*?</CommonPrefixes>", text, re.DOTALL)
    for entry in prefixes:  # a folder in which nothing is listed
        name = re.search(r"<Prefix>(.*?)</Prefix>", entry, re.DOTALL)
        if name and any(key.startswith(unquote(name.group(1))) for key in hidden):
            text = text.replace(entry, "")
    return re.sub(
        r"<KeyCount>\d+", f"<KeyCount>{text.count('<Contents>') + text.count('<CommonPrefixes>')}", text
    ).encode()
