"""Output whose encoding lacks letters, as job logs of clusters have it: commands work and replace those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellstrata.flows.commands.command import main

ASCII = {"PYTHONIOENCODING": "ascii"}
LATIN = {"PYTHONIOENCODING": "latin-1"}
NO_NAMES = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # file names have ASCII letters alone
CONFIG = """output_dir: größe
cache: cache
runner: threads
DATASETS:
  lungé:
    input: {clustering: {f: 心.h5ad}}
    clustering: {algorithm: leiden, resolutions: [0.5], recompute_neighbors: true, neighbors: {use_rep: X_latent}}
"""


def command(*arguments: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from cellstrata.flows.commands.command import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("env", [ASCII, LATIN, NO_NAMES])
@pytest.mark.parametrize("what", ["run", "plan", "deploy", "collect"])
def test_help(what: str, env: dict[str, str], tmp_path: Path) -> None:
    found = command(what, "--help", env=env, folder=tmp_path)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"usage: cellstrata" in found.stdout


@pytest.mark.parametrize(
    ("env", "name"), [(ASCII, b"lung?/f"), (LATIN, "lungé/f".encode("latin-1")), (NO_NAMES, "lungé/f".encode())]
)
def test_plan_of_a_dataset_and_a_file_with_other_letters(
    env: dict[str, str], name: bytes, blobs: Path, tmp_path: Path
) -> None:
    (tmp_path / "心.h5ad").symlink_to(blobs)
    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")
    found = command("plan", "c.yaml", env=env, folder=tmp_path)
    assert (found.returncode, found.stderr) == (0, b"")
    assert name in found.stdout
    missing = command("plan", "größe.yaml", env=env, folder=tmp_path)
    assert missing.returncode == 2
    assert b"no such file" in missing.stderr
    assert b"Traceback" not in missing.stderr


def test_what_cannot_be_shown_is_replaced(tmp_path: Path) -> None:
    code = (
        "from rich.console import Console\n"
        "from cellstrata.flows.commands.letters import show_what_can_be_shown\n"
        "show_what_can_be_shown()\n"
        r"print('5 \xd7 \xe9 \u4e2d\u2026 \udce9')" + "\n"
        r"Console(highlight=False).print('5 \xd7 \xe9 \u4e2d\u2026')"
    )
    for encoding, shown in (
        ("ascii", b"5 x ? ?..."),
        ("latin-1", b"5 \xd7 \xe9 ?..."),
        ("utf-8", "5 × é 中…".encode()),
    ):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
        )
        assert found.stderr == b""
        assert found.stdout.splitlines() == [shown + b" \xe9", shown]


COMMANDS = ["", "run", "plan", "demo", "cluster", "collect", "explain", "materialize", "deploy", "serve", "ui", "cache",
            "cache info", "cache verify", "cache prune", "migrate", "schema"]  # fmt: skip


@pytest.mark.parametrize("what", COMMANDS)
def test_help_fits_80_columns(what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*what.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert [line for line in lines if len(line) > 80] == []
