"""The embedded server: when it is wanted, that it ends with its run, and what a run does without one."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cellstrata.flows.server import idle_collection
from cellstrata.flows.server import watch as server_watch
from cellstrata.flows.server.connection import Connection
from cellstrata.flows.server.embedded_server import configured_server
from cellstrata.tasks.elements.opening import InputError
from tests import ROOT
from tests.flows.commands.test_command import COMMAND, config
from tests.flows.conftest import Run


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which nothing of Prefect is configured."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path


PROFILES = 'active = "{}"\n[profiles.local]\n[profiles.team]\nPREFECT_API_URL = "http://team/api"\n'


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("nothing", "", None),
        ("home/profiles.toml", PROFILES.format("team"), "http://team/api"),
        ("home/profiles.toml", PROFILES.format("local"), None),
        ("prefect.toml", '[api]\nurl = "http://here/api"\n', "http://here/api"),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://here/api"\n', "http://here/api"),
        (".env", "PREFECT_API_URL=http://dot/api\n", "http://dot/api"),
        ("prefect.toml", "not toml at all [", None),
    ],
)
def test_a_configured_server_is_found_where_prefect_looks(bare: Path, name: str, text: str, expected: str) -> None:
    (bare / name).write_text(text)
    assert configured_server() == expected


def test_the_environment_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "home" / "profiles.toml").write_text(PROFILES.format("team"))
    monkeypatch.setenv("PREFECT_API_URL", "http://shell/api")
    assert configured_server() == "http://shell/api"
    monkeypatch.delenv("PREFECT_API_URL")
    (bare / "home" / "profiles.toml").unlink()
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    assert configured_server() == ""


def test_certificates_are_spared_on_plain_http_alone(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_SSL_CERT_FILE", raising=False)
    before = PREFECT_API_SSL_CERT_FILE.value()
    with Connection("http://127.0.0.1:4200/api").settings():
        assert PREFECT_API_URL.value() == "http://127.0.0.1:4200/api"
        assert Path(str(PREFECT_API_SSL_CERT_FILE.value())).read_text().count("BEGIN CERTIFICATE") == 1
    with Connection("https://team.example/api").settings():
        assert PREFECT_API_SSL_CERT_FILE.value() == before
    with temporary_settings({PREFECT_API_SSL_CERT_FILE: "own.pem"}), Connection("http://127.0.0.1:4200/api").settings():
        assert PREFECT_API_SSL_CERT_FILE.value() == "own.pem"
    assert PREFECT_API_SSL_CERT_FILE.value() == before
    assert "PREFECT_API_SSL_CERT_FILE" not in os.environ


@pytest.mark.parametrize("writable", [True, False])
def test_certificates_of_killed_runs_do_not_pile_up(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, scratch = tmp_path / "data", tmp_path / "tmp"
    scratch.mkdir()
    if not writable:
        home.write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(scratch))
    code = "import os; from cellstrata.flows.server.connection import one_certificate as one; print(one(), flush=True)"
    paths = []
    for end in ("os._exit(0)", "os._exit(0)", "exit()"):
        printed = subprocess.run([sys.executable, "-c", f"{code}; {end}"], capture_output=True, text=True, check=True)
        paths.append(Path(printed.stdout.strip()))
    if writable:
        assert len({*paths}) == 1
        assert paths[0].read_text().count("END CERTIFICATE") == 1
        assert list(scratch.iterdir()) == []
    else:
        assert not paths[-1].exists(), "it ended by itself"


def test_the_server_ends_when_its_run_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import time\n"
        "from cellstrata.flows.server.embedded_server import EmbeddedServer\n"
        "server = EmbeddedServer()\n"
        "server.start()\n"
        "server.wait()\n"
        "print(server.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "home")}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert urllib.request.urlopen(f"{url}/health", timeout=5).status == 200
        process.send_signal(signal.SIGKILL)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the server outlived its run")


def test_a_server_that_does_not_answer_is_a_failure_that_says_so(tmp_path: Path, pbmc: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    environment |= {"PREFECT_CLIENT_MAX_RETRIES": "0"}
    done = subprocess.run(
        [*COMMAND, "run", config(tmp_path, pbmc)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_store_that_fails_for_a_moment_is_tried_again(one: Run, pbmc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cellstrata.tasks.results.result as module

    real, failures = module.publish, [ConnectionResetError("reset by peer")]

    def shaky(*arguments: Any, **keywords: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, "publish", shaky)
    assert one(pbmc, {})["written"]
    assert not failures


def test_a_wrong_input_is_not_tried_again(
    run: Run, pbmc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cellstrata.tasks.results.result as module

    calls = []

    def refusing(*arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        raise InputError("x.h5ad", "X", "is damaged")

    monkeypatch.setattr(module, "publish", refusing)
    settings = {"algorithm": "leiden", "resolutions": [0.5]}
    data = {"d": {"input": {"clustering": {"f": str(pbmc)}}, "clustering": settings}}
    report = run(DATASETS=data, output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"))["datasets"]["d/f"]
    assert "is damaged" in report["error"]
    assert len(calls) == 1


class Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_configured_server_that_goes_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses is there, one that never answered may be reached in another way, one that comes back is back."""
    monkeypatch.setattr(server_watch, "EVERY", 0.05)
    monkeypatch.setattr(server_watch, "PATIENCE", 1.5)

    def serving(port: int = 0) -> HTTPServer:
        server = HTTPServer(("127.0.0.1", port), Refuses)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def stop(server: HTTPServer) -> None:
        server.shutdown()
        server.server_close()

    said: list[str] = []
    ended, server = threading.Event(), serving()
    port = server.server_port
    watching = server_watch.when_unreachable(f"http://127.0.0.1:{port}/api", said.append, ended)
    never = server_watch.when_unreachable("http://127.0.0.1:9/api", said.append, ended)
    time.sleep(0.5)
    stop(server)
    time.sleep(0.2)
    server = serving(port)
    time.sleep(1.8)
    assert said == []
    stop(server)
    watching.join(30)
    assert [f":{port}/api has not answered for" in line for line in said] == [True]
    assert never.is_alive()
    ended.set()
    never.join(10)
    assert not never.is_alive()


def test_a_server_that_listens_and_does_not_answer_is_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("EVERY", 0.05), ("TIMEOUT", 0.1), ("PATIENCE", 0.3), ("BUSY", 3.0)):
        monkeypatch.setattr(server_watch, name, seconds)
    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    said: list[str] = []
    ended = threading.Event()
    watching = server_watch.when_unreachable(f"http://127.0.0.1:{server.server_port}/api", said.append, ended)
    time.sleep(0.5)
    server.shutdown()  # it accepts connections, but nobody takes them
    time.sleep(1.5)
    assert said == []
    watching.join(30)
    assert ["has not answered for 3 s" in line for line in said] == [True]
    server.server_close()


def test_garbage_is_collected_while_no_connection_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, collected = [False], [0]
    monkeypatch.setattr(idle_collection, "EVERY", 0.01)
    monkeypatch.setattr(idle_collection, "MANY", 0)
    monkeypatch.setattr(idle_collection, "_is_idle", lambda: idle[0])
    monkeypatch.setattr(idle_collection.gc, "collect", lambda: collected.__setitem__(0, collected[0] + 1))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert not gc.isenabled() or scope["type"] != "lifespan"
        await asyncio.sleep(0.2)
        assert not gc.isenabled()
        assert collected == [0]
        idle[0] = True
        kept = [[] for _ in range(5000)]  # what counts as new
        await asyncio.sleep(0.2)
        assert len(kept) == 5000
        assert collected[0] > 0

    async def started(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await app(scope, receive, send)

    asyncio.run(idle_collection.CollectWhenIdle(started)({"type": "lifespan"}, None, None))
    assert gc.isenabled()
