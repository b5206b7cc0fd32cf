"""What the environment gives to commands that read no configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cellstrata.configs.errors import ConfigError, Problem
from cellstrata.flows.credentials import BlockProblem, with_blocks

if TYPE_CHECKING:
    from cellstrata.tasks.stores.store import StorageOptions


VARIABLE = "CELLSTRATA_STORAGE_OPTIONS"


def storage_options(env: Mapping[str, str]) -> StorageOptions:
    """Return the storage options that an environment gives, by protocol.

    Raises ConfigError if they cannot be read.
    """
    given = {name: text for name, text in env.items() if name.upper().startswith(VARIABLE)}
    if not given:
        return {}
    from cellstrata.configs.loading.load import with_environment

    dataset = {"input": {"clustering": "any.zarr"}, "clustering": {"algorithm": "leiden", "resolutions": 1}}
    config = with_environment({"output_dir": ".", "DATASETS": {"any": dataset}}, given)[0]
    try:
        return with_blocks(config.storage_options)
    except BlockProblem as error:
        raise ConfigError([Problem((), str(error))]) from error
