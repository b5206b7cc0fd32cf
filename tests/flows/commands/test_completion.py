"""What a shell makes of the script of `cellstrata completion`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cellstrata.flows.commands.completion import script

ASK = (
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_cellstrata; printf "%s\\n" "${COMPREPLY[@]}"'
)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["mat"], ["materialize"]),
        (["run", "atlas.yaml", "--runn"], ["--runner"]),
        (["run", "atlas.yaml", "--runner", ""], ["processes", "threads", "dask", "gpu"]),
        (["cache", "pr"], ["prune"]),
        (["cache", "prune", "--max"], ["--max_size"]),
        (["run", "at"], ["atlas.yaml"]),
    ],
)
def test_bash_offers_commands_options_keys_and_files(tmp_path: Path, line: list[str], offered: list[str]) -> None:
    (tmp_path / "script").write_text(script("bash"))
    (tmp_path / "atlas.yaml").touch()
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", "./script", "cellstrata", *line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_each_shell_can_read_its_script(tmp_path: Path, shell: str) -> None:
    text = script(shell)
    assert "materialize" in text
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    (tmp_path / "script").write_text(text)
    subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True, timeout=60)
