"""S3 on loopback: moto's S3, served by waitress, which keeps connections open as every S3 does.

moto's own server closes them after each answer, so that a request costs its client twice the CPU; and it looks
for the service that is meant, of all of Amazon's, which costs as much as the request itself.
Run as a module, this file is that server: `python -m tests.s3_server PORT`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from tests import ROOT

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Run the server, and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"moto's server does not answer at {url}")


def _serve(port: int) -> None:
    import waitress
    from moto.moto_server.werkzeug_app import create_backend_app

    places = {"host": "127.0.0.1", "port": port}
    waitress.serve(create_backend_app("s3"), **places, threads=16, connection_limit=1000, backlog=1000)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
