"""A secret is planted, everything is run; then all that was printed, written or stored is searched for it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import certifi
import fsspec
import pytest

from cellstrata.configs import RunConfig
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.command import main
from cellstrata.flows.preparation import UnusableInputs, ready
from cellstrata.flows.server.database import server_folder
from cellstrata.tasks.stores.options import options_for, whole_url
from cellstrata.tasks.stores.store import Store
from tests.flows.conftest import HOME, Run
from tests.tasks.stores.emulators import web

SECRET = "HUSHwJalrXUtnFEMI"
CLUSTERING = {"algorithm": "leiden", "resolutions": [0.5], "recompute_neighbors": True}


def searched(*texts: str, folder: Path | None = None, bucket: str | None = None) -> None:
    """Search texts, files, the Prefect database and a bucket for the secret."""
    for text in texts:
        assert SECRET not in text
    for file in folder.rglob("*") if folder else ():
        assert SECRET.encode() not in os.fsencode(file.name)
        if file.is_file() and file.name != "config.yaml":
            assert SECRET.encode() not in file.read_bytes(), file
    for file in Path(HOME.name).rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
    if bucket:
        store = Store.at(bucket)
        for key in store.walk():
            assert SECRET.encode() not in store.read(key), key


def stored_parameters() -> list[str]:
    folder = server_folder()
    assert folder is not None
    with sqlite3.connect(folder / "prefect.db") as database:
        return [text for (text,) in database.execute("SELECT parameters FROM flow_run")]


def test_no_secret_is_ever_shown_or_stored(
    server: str, s3: str, s3_endpoint: str, pbmc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", certifi.where())  # else the command makes one for each run
    options = {"key": "lab", "secret": SECRET, "client_kwargs": {"region_name": "us-east-1"}}
    Store.at(s3, {"s3": options}).write("in/cells.h5ad", pbmc.read_bytes())
    config = {
        "output_dir": f"{s3}/out", "cache": f"{s3}/cache", "runner": "threads", "storage_options": {"s3": options},
        "DATASETS": {"d": {"input": {"clustering": f"{s3}/in/*.h5ad"}, "clustering": CLUSTERING}},
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    monkeypatch.setattr(sys, "argv", ["cellstrata", "run", str(path)])
    assert main(["plan", str(path), "--json"]) == 0
    assert main(["run", str(path), "--json", "--verbose"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out.splitlines()[-1])["datasets"]
    assert len(report) == 1
    path.write_text(
        json.dumps(config | {"DATASETS": {"d": config["DATASETS"]["d"] | {"input": {"clustering": f"{s3}/no"}}}})
    )  # type: ignore[index]
    assert main(["run", str(path)]) == 2
    errors = capsys.readouterr()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    searched(printed.out, printed.err, errors.out, errors.err, folder=tmp_path, bucket=s3)
    runs = [text for text in stored_parameters() if s3 in text]
    assert runs
    assert all('"secret": "***"' in text or '"secret":"***"' in text for text in runs)
    assert f"{s3}/in/cells.h5ad" in "".join(runs)


def test_credentials_in_urls_are_used_and_never_shown(
    run: Run, pbmc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with web(pbmc.parent) as (url, served):
        signed = f"{url.replace('://', f'://lab:{SECRET}@')}/{pbmc.name}?X-Amz-Signature={SECRET}&X-Amz-Expires=60"
        report = run(
            output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"),
            DATASETS={"d": {"input": {"clustering": {"f": signed}}, "clustering": CLUSTERING}},
        )["datasets"]["d/f"]  # fmt: skip
    assert "error" not in report, report
    assert all(SECRET in path and login.startswith("Basic ") for path, login in served.seen)
    printed = capsys.readouterr()
    searched(json.dumps(report), printed.out, printed.err, folder=tmp_path)
    assert f"{url}/{pbmc.name}" in (tmp_path / "out/clustering/input_files.tsv").read_text()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://u:p@lab.org/x?a=1", "https://lab.org/x?a=1"),
        ("https://lab.org/x?sig=abc&se=1", "https://lab.org/x"),
        ("https://lab.org/x?version=3", "https://lab.org/x?version=3"),
        ("s3://lab/x?versionId=3", "s3://lab/x?versionId=3"),
        ("sftp://u:p@host/x", "sftp://host/x"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("/data/a:b@c", "/data/a:b@c"),
    ],
)
def test_urls_without_their_credentials(given: str, shown: str) -> None:
    assert without_credentials(given) == shown


def test_a_place_with_a_password_is_sealed_with_all_that_lies_below_it() -> None:
    data = {"d": {"input": {"clustering": ""}, "clustering": CLUSTERING}}
    data["d"]["input"]["clustering"] = f"https://lab.org/x.h5ad?sig={SECRET}"  # type: ignore[index]
    config = RunConfig(output_dir=f"sftp://u:{SECRET}@host/out", DATASETS=data)
    assert SECRET not in config.model_dump_json()
    opened = ready(config)
    assert opened.output_dir == "sftp://host/out"
    assert SECRET not in repr(opened) + opened.model_dump_json()
    options = opened.storage_options["sftp"]
    assert whole_url("sftp://host/out/a/b", options) == f"sftp://u:{SECRET}@host/out/a/b"
    assert whole_url("sftp://host/outer", options) == "sftp://host/outer"
    assert "url_credentials" not in options_for("sftp", options)
    assert ready(opened) == opened


def test_a_deployment_may_not_be_given_secrets() -> None:
    data = {"d": {"input": {"clustering": f"https://u:{SECRET}@lab.org/x.h5ad"}, "clustering": CLUSTERING}}
    options = {"s3": {"key": "AKIA", "secret": SECRET, "profile": "lab"}, "az": {"account_name": "lab", "odd": SECRET}}
    with pytest.raises(UnusableInputs) as caught:
        ready(RunConfig(output_dir="out", storage_options=options, DATASETS=data), stored=True)
    said = str(caught.value)
    for words in ("storage_options.s3.secret", "storage_options.az.odd", "DATASETS.d.input.clustering", "block"):
        assert words in said
    assert SECRET not in said
    assert "profile" not in said.replace("a profile", "")
    harmless: Any = {"s3": {"profile": "lab", "anon": False, "block": "aws-credentials/lab"}}
    with pytest.raises(UnusableInputs, match="block"):  # asked for, and there is none
        ready(RunConfig(output_dir="out", storage_options=harmless, DATASETS={"d": data["d"]}))


def test_a_mask_is_not_taken_for_a_secret() -> None:
    from cellstrata.configs import ConfigError

    config = RunConfig(
        output_dir="out", storage_options={"s3": {"secret": SECRET}},
        DATASETS={"d": {"input": {"clustering": "x.h5ad"}, "clustering": CLUSTERING}},
    )  # fmt: skip
    stored = config.model_dump(mode="json")
    with pytest.raises(ConfigError, match="only stands for a secret"):
        RunConfig(**stored)


def test_a_block_of_prefects_opens_a_bucket(
    run: Run, s3: str, s3_endpoint: str, pbmc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = pytest.importorskip("prefect_aws", reason="prefect-aws is not installed: pip install prefect-aws")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    parameters = blocks.AwsClientParameters(endpoint_url=s3_endpoint)
    block = blocks.AwsCredentials(
        aws_access_key_id="lab", aws_secret_access_key=SECRET, region_name="us-east-1", aws_client_parameters=parameters
    )
    block.save("lab", overwrite=True, _sync=True)
    options = {"s3": {"block": "aws-credentials/lab"}}
    direct = fsspec.filesystem("s3", key="lab", secret=SECRET, endpoint_url=s3_endpoint)
    direct.pipe_file(f"{s3}/cells.h5ad", pbmc.read_bytes())
    report = run(
        output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"), storage_options=options, runner="processes",
        DATASETS={"d": {"input": {"clustering": {"f": f"{s3}/cells.h5ad"}}, "clustering": CLUSTERING}},
    )["datasets"]["d/f"]  # fmt: skip
    assert "error" not in report, report
    searched(json.dumps(report), folder=tmp_path)
    texts = [text for text in stored_parameters() if f"{s3}/cells.h5ad" in text]
    assert texts
    assert all("aws-credentials/lab" in text for text in texts)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("aws-credentials/nobody", "cannot be read"),
        ("slack-webhook/x", "no block that can be used"),
        ("aws-credentials", "as slug/name"),
        ("gcp-credentials/x", "pip install prefect-gcp"),
    ],
)
def test_blocks_that_cannot_be_used(block: str, said: str, server: str) -> None:
    config = RunConfig(
        output_dir="out", storage_options={"s3": {"block": block}},
        DATASETS={"d": {"input": {"clustering": "x.h5ad"}, "clustering": CLUSTERING}},
    )  # fmt: skip
    with pytest.raises(UnusableInputs) as caught:
        ready(config)
    assert said in str(caught.value)
    assert f"storage_options.s3.block: {block}" in str(caught.value)


def test_what_is_to_be_typed_again_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.flows.commands.run import _again

    typed = ["run", "c.yaml", "--storage_options.s3.secret", SECRET, f"--storage_options.s3.token={SECRET}"]
    typed += ["--cache", f"https://u:{SECRET}@lab.org/c", "--storage_options", f"{{s3: {{secret: {SECRET}}}}}"]
    monkeypatch.setattr(sys, "argv", ["cellstrata", *typed])
    said = _again("c.yaml")
    assert SECRET not in said
    assert "--cache https://lab.org/c" in said
