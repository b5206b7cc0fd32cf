"""The options of `cellstrata cluster`, one level at one resolution, as the same schema as a whole run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cellstrata.configs.dataset import MOST_BYTES
from cellstrata.configs.errors import ConfigError, Problem, shown
from cellstrata.configs.loading.load import with_environment
from cellstrata.configs.model import RunConfig

NAME = "input"  # of the one dataset and its one file

_OPTIONS = {
    "algorithm": "--algorithm",
    "resolutions": "--resolution",
    "hierarchy": "--clustering_args",
    "neighbors_key": "--neighbors_key",
    "neighbors": "--neighbors_args",
    "clustering_args": "--clustering_args",
    "n_cell_cpu": "--n_cell_cpu",
    "ensemble": "--ensemble",
    "max_cluster_factor": "--max_cluster_factor",
}


@dataclass(frozen=True, kw_only=True)
class LevelCall:
    """One call, checked. `resolution` is in the name of the column and finds its parent;
    `own_resolution` is that of the partition, which `clustering_args` may set apart."""

    url: str
    output: str
    level: int
    algorithm: str
    resolution: float
    own_resolution: float
    overwrite: bool
    parent_key: str | None
    config: RunConfig
    notices: tuple[str, ...]
    _data: Mapping[str, Any]

    def with_config(self, config: RunConfig) -> LevelCall:
        """Return the call with the places and storage options of a configuration made out of its own."""
        dataset = self._data["DATASETS"][NAME]
        url = config.DATASETS[NAME].input.clustering[NAME]
        data = {
            **self._data,
            "output_dir": config.output_dir,
            "storage_options": dict(config.storage_options),
            "DATASETS": {NAME: {**dataset, "input": {"clustering": {NAME: url}}}},
        }
        return replace(self, url=url, output=config.output_dir, config=config, _data=data)

    def at(self, resolution: float) -> RunConfig:
        """Return the run that this call is part of, with the base resolution of its column."""
        own = {self.level: {"resolution": self.own_resolution}}
        changes = {"resolutions": [resolution], "hierarchy": {"levels": own}}
        return _built({**self._data["DATASETS"][NAME]["clustering"], **changes}, self._data)[0]


def level_call(words: Mapping[str, Any], env: Mapping[str, str] | None = None) -> LevelCall:
    """Read the options, texts as they were typed; `env` is by default that of this process.

    Raises ConfigError with every problem.
    """
    problems: list[Problem] = []
    numbers = {name: _number(words[name], name, problems) for name in ("resolution", "level", "threads")}
    further = {name: _number(words[name], name, problems) for name in ("n_cell_cpu", "max_cluster_factor")}
    arguments = _mapping(words["clustering_args"], "clustering_args", problems)
    neighbors = _mapping(words["neighbors_args"], "neighbors_args", problems)
    level, own = numbers["level"], arguments.pop("resolution", numbers["resolution"])
    if isinstance(level, bool) or not isinstance(level, int) or level < 1:
        problems.append(Problem((), f"must be a whole number from 1 on, not {shown(level)}", source="--level"))
    for name in ("input_file", "output_file"):
        if not words[name].strip():
            problems.append(Problem((), "is empty", source=name.removesuffix("_file").upper()))
    if level == 1 and words["parent_key"] is not None:
        hint = "add --level 2 to split its clusters, or drop it"
        problems.append(Problem((), "has no effect at level 1, which splits all cells", hint, source="--parent_key"))
    name = words["output_file"].rstrip("/").rsplit("/", 1)[-1]
    if len(os.fsencode(name)) > MOST_BYTES:
        message = f"`{name[:20]}…` is too long a name"
        problems.append(Problem((), message, f"take at most {MOST_BYTES} bytes", source="OUTPUT"))
    if words["output_file"].rstrip("/").endswith((".h5ad", ".h5")):
        near = words["output_file"].rsplit(".", 1)[0]
        problems.append(Problem((), "is written as a zarr", f"name it {near}.zarr", source="OUTPUT"))
    clustering = {
        "algorithm": words["algorithm"],
        "resolutions": numbers["resolution"],
        "neighbors_key": words["neighbors_key"],
        "neighbors": neighbors,
        "clustering_args": arguments,
        "use_gpu": True,
        "ensemble": _runs(words["ensemble"]),
        "overwrite": bool(words["overwrite"]),
        **further,
    }
    data = {
        "output_dir": words["output_file"] or ".",
        "workers": numbers["threads"],
        "DATASETS": {NAME: {"input": {"clustering": {NAME: words["input_file"] or "."}}, "clustering": clustering}},
    }
    try:
        config, notices = _built(clustering, data, env)
        _built({**clustering, "resolutions": own}, data, env)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return LevelCall(
        url=words["input_file"],
        output=words["output_file"],
        level=level,
        algorithm=words["algorithm"],
        resolution=float(numbers["resolution"]),
        own_resolution=float(own),
        overwrite=bool(words["overwrite"]),
        parent_key=words["parent_key"],
        config=config,
        notices=tuple(notices),
        _data=data,
    )


def _built(
    clustering: Mapping[str, Any], data: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> tuple[RunConfig, list[str]]:
    dataset = {**data["DATASETS"][NAME], "clustering": dict(clustering)}
    try:
        return with_environment({**data, "DATASETS": {NAME: dataset}}, os.environ if env is None else env)
    except ConfigError as error:
        raise ConfigError([_as_option(problem) for problem in error.problems]) from None


def _as_option(problem: Problem) -> Problem:
    """Say which option a problem comes from."""
    path = problem.path
    if path[:1] == ("workers",):
        return Problem((), problem.message, problem.suggestion, source="--threads")
    if path[:1] == ("DATASETS",) and len(path) > 3 and str(path[3]) in _OPTIONS:
        return Problem(path[4:], problem.message, problem.suggestion, source=_OPTIONS[str(path[3])])
    return problem


def _runs(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _number(text: str, name: str, problems: list[Problem]) -> Any:
    try:
        value = float(text)
        return int(text) if text.strip().lstrip("+-").isdigit() else value
    except ValueError:
        problems.append(Problem((), f"must be a number, not {shown(text)}", source=f"--{name}"))
        return 1


def _mapping(text: str, name: str, problems: list[Problem]) -> dict[str, Any]:
    example = '{"n_neighbors": 15}' if name == "neighbors_args" else '{"n_iterations": 5}'
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except ValueError as error:
        reason = f"is no JSON ({error})"
    else:
        if isinstance(value, dict):
            return value
        reason = f"must be a JSON object, not {shown(value)}"
    problems.append(Problem((), reason, f"write --{name} '{example}'", source=f"--{name}"))
    return {}


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    whole = dict(pairs)
    if len(whole) < len(pairs):
        raise ValueError("a key is given twice")
    return whole
