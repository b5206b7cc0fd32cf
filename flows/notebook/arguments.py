"""From the arguments of a call to a run's configuration, checked by the same model as a file."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from cellstrata.configs.errors import ConfigError, Problem
from cellstrata.configs.model import RunConfig
from cellstrata.configs.wording import problems_in
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.results.marker_genes import MarkerRequest

DATASET = "memory"  # `memory/adata` is what notes and messages call it
OF_RUNS = ("grain", "runner", "dask", "read_cache", "storage_options")  # keys that stand above the datasets
OF_FILES = ("recompute_umap", "umap_colors", "plots", "publish_embeddings")
_WITHIN = ("DATASETS", DATASET, "clustering")
_PLACE = ("neighbors", "use_rep")


def run_config(
    clustering: Mapping[str, Any], neighbors: Mapping[str, Any], *, cache: str | os.PathLike[str] | None,
    workers: int | None, refresh: bool,
) -> RunConfig:  # fmt: skip
    """Return the configuration that a call asks for; what is None is left to its default.

    Raises
    ------
    ConfigError
        With everything that is wrong, each under the name of its argument.
    """
    if wrong := [name for name in OF_FILES if name in clustering]:
        raise ConfigError(Problem((name,), "is for results in files", "call scanpy, or `cs.pl`") for name in wrong)
    asked: dict[str, Any] = {name: _plain(value) for name, value in clustering.items() if value is not None}
    of_run = {name: asked.pop(name) for name in OF_RUNS if name in asked}
    # A process that is a daemon, as multiprocessing's pools have them, may have no children.
    of_run.setdefault("runner", "threads" if multiprocessing.current_process().daemon else "processes")
    graph = {name: _plain(value) for name, value in neighbors.items() if value is not None}
    if graph:
        asked["neighbors"] = graph
    asked.setdefault("recompute_neighbors", bool(graph) and "neighbors_key" not in asked)
    place = os.fspath(cache) if cache is not None else os.environ.get("CELLSTRATA_CACHE") or None
    try:
        config = RunConfig(
            output_dir=NAME,
            cache=place,
            workers=_plain(workers),
            refresh=refresh,
            **of_run,
            DATASETS={DATASET: {"input": {"clustering": {NAME: NAME}}, "clustering": asked}},
        )
    except ConfigError as error:
        raise ConfigError(map(_named, error.problems)) from None
    settings = config.DATASETS[DATASET].clustering
    if settings.markers is not None and not settings.asks_child_markers:
        raise ConfigError([Problem(("markers",), "are not found here", "call `cs.tl.markers` afterwards")])
    return config


def marker_request(**asked: Any) -> MarkerRequest:
    """Return what is asked of markers. Raises ConfigError with everything that is wrong."""
    try:
        return MarkerRequest.model_validate({name: _plain(value) for name, value in asked.items()})
    except ValidationError as error:
        raise ConfigError(problems_in(error, MarkerRequest)) from None


def _named(problem: Problem) -> Problem:
    """Return a problem under the name of the argument that has it."""
    path = problem.path
    if path[: len(_WITHIN)] == _WITHIN:
        path = path[len(_WITHIN) :]
    if len(path) == len(_PLACE) and path[0] == "neighbors":
        path = path[1:]
    return dataclasses.replace(problem, path=path)


def _plain(value: Any) -> Any:
    """Return plain values for arrays, tuples and NumPy's numbers, which a file cannot hold."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(inner) for inner in value]
    return value
