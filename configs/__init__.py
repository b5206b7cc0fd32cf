"""What the user asks for: the one schema of a run, and how it is read.

Start with `model.RunConfig`; `load` reads file, environment and options into it. Names are loaded when they are first
used, so that a worker that needs one pays for no other.
Imports from this project: nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellstrata.configs.clustering import ClusteringConfig, PlotsConfig
    from cellstrata.configs.dataset import DatasetConfig
    from cellstrata.configs.errors import ConfigError, Problem
    from cellstrata.configs.form.reference import json_schema, reference_table
    from cellstrata.configs.hierarchy import Hierarchy, LevelParameters
    from cellstrata.configs.loading.load import load_config
    from cellstrata.configs.model import RunConfig
    from cellstrata.configs.neighbors import NeighborsConfig

__all__ = [
    "ClusteringConfig",
    "ConfigError",
    "DatasetConfig",
    "Hierarchy",
    "LevelParameters",
    "NeighborsConfig",
    "PlotsConfig",
    "Problem",
    "RunConfig",
    "json_schema",
    "load_config",
    "reference_table",
]

_WHERE = {
    "ClusteringConfig": "clustering",
    "ConfigError": "errors",
    "DatasetConfig": "dataset",
    "Hierarchy": "hierarchy",
    "LevelParameters": "hierarchy",
    "NeighborsConfig": "neighbors",
    "PlotsConfig": "clustering",
    "Problem": "errors",
    "RunConfig": "model",
    "json_schema": "form.reference",
    "load_config": "loading.load",
    "reference_table": "form.reference",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
