"""Short ways to write and read a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cellstrata.configs import ConfigError, RunConfig, load_config

BASE = """\
output_dir: out
DATASETS:
  lung:
    input: {clustering: lung.h5ad}
    clustering:
      algorithm: leiden
      resolutions: [0.5]
"""

Load = Callable[..., tuple[RunConfig, list[str]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a text as a file, with options and an environment that is empty unless given."""

    def read(text: str = BASE, *options: str, env: dict[str, str] | None = None) -> tuple[RunConfig, list[str]]:
        file = tmp_path / "run.yaml"
        file.write_text(text)
        return load_config(str(file), options, env or {})

    return read


@pytest.fixture
def refused(load: Load) -> Callable[..., str]:
    """Load what must be refused, and return the message."""

    def read(text: str = BASE, *options: str, env: dict[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, *options, env=env)
        return str(caught.value)

    return read


@pytest.fixture
def base() -> str:
    """Return a small configuration that is right."""
    return BASE
