"""Stores that tests read from: emulators of Google's and Azure's, a web server with ranges, the proxy before S3."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's own

os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # it asks over gRPC, which no emulator speaks; read on import

Options = dict[str, dict[str, Any]]


@contextlib.contextmanager
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Options]]:
    """An empty bucket in an emulator of Google's store, and the options to open it."""
    pytest.importorskip("gcsfs", reason="gcsfs is not installed: pip install gcsfs")
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server",
        reason="gcp-storage-emulator is not installed: pip install gcp-storage-emulator",
    )
    port = free_port()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        import gcsfs

        options: Options = {"gs": {"token": "anon", "project": "test", "endpoint_url": f"http://127.0.0.1:{port}"}}
        gcsfs.GCSFileSystem(**options["gs"]).mkdir("lab")
        yield "gs://lab", options
    finally:
        server.stop()


@contextlib.contextmanager
def azure() -> Iterator[tuple[str, Options]]:
    """The same of Azure's; Azurite comes from npm."""
    pytest.importorskip("adlfs", reason="adlfs is not installed: pip install adlfs")
    places = [shutil.which("azurite-blob"), os.environ.get("AZURITE"), str(ROOT / "node_modules/.bin/azurite-blob")]
    command = next((place for place in places if place and os.path.exists(place)), None)
    if command is None:
        pytest.skip(
            "azurite-blob is neither on the PATH, nor in node_modules, nor named by AZURITE: npm install azurite"
        )
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [command, "--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--blobPort", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        try:
            wait_for(port)
            import adlfs

            endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
            text = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURE_KEY};"
            options: Options = {"az": {"connection_string": f"{text}BlobEndpoint={endpoint};"}}
            adlfs.AzureBlobFileSystem(**options["az"]).mkdir("lab")
            yield "az://lab", options
        finally:
            process.kill()
            process.wait()


class _Web(BaseHTTPRequestHandler):
    folder: Path
    redirects: dict[str, str]
    seen: list[tuple[str, str]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        if path in self.redirects:
            return self._send(302, b"", [("Location", self.redirects[path])])
        file = self.folder / path.lstrip("/")
        if not file.is_file():
            return self._send(404, b"", [])
        data, asked = file.read_bytes(), self.headers.get("Range")
        if not asked:
            return self._send(200, data, [])
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        headers = [("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")]
        return self._send(206, part, headers)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status: int, data: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in [*headers, ("Content-Length", str(len(data))), ("Accept-Ranges", "bytes")]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextlib.contextmanager
def web(folder: Path) -> Iterator[tuple[str, Any]]:
    """A folder on a web server that serves ranges; its class, with `redirects` and the requests `seen`."""
    handler: Any = type("Web", (_Web,), {"folder": folder, "redirects": {}, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens on a port."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")
