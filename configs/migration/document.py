"""Rewrites a configuration of scAtlasTb as the one of this package that asks for the same."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

from cellstrata.configs.dataset import DatasetConfig
from cellstrata.configs.errors import ConfigError, Path, Problem, did_you_mean
from cellstrata.configs.merging import OTHER_MODULES, takes_part
from cellstrata.configs.migration.clustering import migrated_clustering
from cellstrata.configs.migration.differences import note_differences
from cellstrata.configs.migration.notes import Notes, is_slip
from cellstrata.configs.migration.values import as_switch
from cellstrata.configs.model import Defaults, RunConfig

_REPLACED = {
    "env_mode": "dropped; everything runs in this one environment, and `runner` says what computes.",
    "resources": "dropped; `workers` says how many compute at once; memory and GPUs come from your scheduler.",
}
_SINGLE = (
    "one run of Leiden for each split, as with scAtlasTb; `auto` joins several, so that other seeds find the same."
)
_OTHER_MODULE = "of other modules of scAtlasTb, and dropped."


def migrated(data: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return the new configuration, in the order of the old one, and what was changed or dropped, and why.

    What is wrong for other reasons is left as it is, for the validation. Raises ConfigError if there are
    datasets and none of them has an input.
    """
    notes = Notes()
    data = _with_datasets(data, notes)
    old, datasets = _clustering(data.get("defaults")), data.get("DATASETS")
    # First, wherever they stand in the file: the datasets lie over them.
    defaults = _defaults(data.get("defaults"), datasets, notes)
    missing = [key for key in ("output_dir", "DATASETS") if key not in data]
    result: dict[str, object] = {}
    for key, value in data.items():
        if key in _REPLACED:
            notes.add((key,), _REPLACED[key])
        elif key == "defaults":
            if defaults != {}:
                result[key] = defaults
        elif key == "DATASETS":
            result[key] = _datasets(value, data, old, _clustering(defaults), notes)
        elif key == "use_gpu":
            result[key] = as_switch(value, lambda text: notes.add(("use_gpu",), text)) if value is not None else False
        elif key in RunConfig.model_fields or not notes.drops((key,), RunConfig.model_fields, missing):
            result[key] = copy.deepcopy(value)
    if "use_gpu" not in data and any(_asks_gpu(own, _clustering(defaults)) for own in _mappings(result)):
        text = "scAtlasTb used GPUs only if this was true as well; here it is unless you write `use_gpu: false`."
        notes.add(("use_gpu",), text)
    _keep_single_runs(result, notes)
    return result, notes.sentences()


def _keep_single_runs(result: dict[str, Any], notes: Notes) -> None:
    """Ask for single runs where nothing is said: in the defaults, if they tell of clustering, else in each dataset."""
    defaults, datasets = _mapping(result.get("defaults")), _mapping(result.get("DATASETS"))
    places: list[tuple[Path, Any]] = [(("defaults",), defaults)]
    if not isinstance(defaults.get("clustering"), Mapping):
        places = [(("DATASETS", str(name)), _mapping(dataset)) for name, dataset in datasets.items()]
    for path, section in places:
        clustering = section.get("clustering")
        if isinstance(clustering, dict) and "ensemble" not in clustering and clustering.get("algorithm") != "louvain":
            clustering["ensemble"] = 1
            notes.add((*path, "clustering", "ensemble"), _SINGLE)


def _with_datasets(data: Mapping[str, object], notes: Notes) -> Mapping[str, object]:
    if "TASKS" not in data or "DATASETS" in data:
        return data
    notes.add(("TASKS",), "called `DATASETS` here.")
    return {"DATASETS" if key == "TASKS" else key: value for key, value in data.items()}


def _defaults(written: Any, datasets: Any, notes: Notes) -> Any:
    if not isinstance(written, Mapping):
        return copy.deepcopy(written)
    names = {str(name): dataset for name, dataset in datasets.items()} if isinstance(datasets, Mapping) else {}
    missing = [key for key in Defaults.model_fields if key not in written]
    result: dict[str, Any] = {}
    for key, value in written.items():
        path = ("defaults", str(key))
        if key == "clustering" and isinstance(value, Mapping):
            # Another hierarchy would inherit what is lifted out of this one.
            alone = not any("hierarchy" in _clustering(dataset) for dataset in names.values())
            result[key] = migrated_clustering(value, {}, notes, path, alone)
        elif key == "datasets" and isinstance(value, list):
            result[key] = _chosen(value, names, notes)
        elif key in OTHER_MODULES:
            notes.add(path, _OTHER_MODULE)
        elif key in Defaults.model_fields or not notes.drops(path, Defaults.model_fields, missing):
            result[str(key)] = copy.deepcopy(value)
    return result


def _chosen(written: list[Any], datasets: Mapping[str, Any], notes: Notes) -> list[Any]:
    """Keep the names of datasets that take part; with none of them, all, for the validation to refuse."""
    chosen = []
    for index, name in enumerate(map(str, written)):
        if name not in datasets:
            near = did_you_mean(name, datasets)
            text = f"`{name}` is dropped, as no dataset is called so{f'; {near}' if near else '.'}"
            notes.add(("defaults", "datasets", index), text)
        elif takes_part(datasets[name]) or _misses_input(datasets[name]):
            chosen.append(name)
    return chosen or written


def _datasets(
    written: Any, data: Mapping[str, Any], old: Mapping[str, Any], below: Mapping[str, Any], notes: Notes
) -> Any:
    if not isinstance(written, Mapping):
        return copy.deepcopy(written)
    result: dict[Any, Any] = {}
    for name, dataset in written.items():
        path = ("DATASETS", str(name))
        if not takes_part(dataset) and not _misses_input(dataset):
            notes.add(path, "dropped; without `input.clustering` it takes no part.")
        elif takes_part(dataset) and isinstance(dataset, Mapping):
            for text in _module_names(_mapping(dataset.get("input")).get("clustering")):
                notes.add((*path, "input", "clustering"), _to_fill_in(text, str(name), data.get("output_dir")))
            result[name] = _dataset(dataset, old, below, notes, path)
        else:
            result[name] = copy.deepcopy(dataset)
    if written and not result:
        hint = "write where the data are: `input: {clustering: path}`"
        raise ConfigError([Problem(("DATASETS",), "no dataset has `input.clustering`, so none can be migrated", hint)])
    return result


def _dataset(
    written: Mapping[object, object], old: Mapping[str, object], below: Mapping[str, object], notes: Notes, path: Path
) -> dict[str, object]:
    missing = [key for key in DatasetConfig.model_fields if key not in written]
    result: dict[str, object] = {}
    for key, value in written.items():
        here = (*path, str(key))
        if key == "input" and isinstance(value, Mapping):
            for module in value:
                if module != "clustering":
                    notes.add((*here, str(module)), _OTHER_MODULE)
            result[key] = {"clustering": copy.deepcopy(value["clustering"])}
        elif key == "clustering" and isinstance(value, Mapping):
            result[key] = migrated_clustering(value, old, notes, here, may_lift=True)
        elif key in OTHER_MODULES:
            notes.add(here, _OTHER_MODULE)
        elif key in DatasetConfig.model_fields or not notes.drops(here, DatasetConfig.model_fields, missing):
            result[str(key)] = copy.deepcopy(value)
    here = (*path, "clustering")
    whole = {**below, **_clustering(result)}
    if whole.get("neighbors") is False and whole.get("recompute_neighbors") is True:
        text = "written as false: with `neighbors: false`, scAtlasTb took the stored graph all the same."
        notes.add((*here, "recompute_neighbors"), text)
        result["clustering"] = {**_clustering(result), "recompute_neighbors": False}
    note_differences({**old, **_clustering(written)}, _clustering(result), below, notes, here)
    return result


def _misses_input(dataset: object) -> bool:
    """Say whether a dataset without an input has a key that may be meant as it."""
    section = _mapping(dataset)
    pairs = ((section, "input"), (_mapping(section.get("input")), "clustering"))
    return any(
        key not in OTHER_MODULES and wanted not in within and is_slip(key, [wanted])
        for within, wanted in pairs
        for key in within
    )


def _module_names(written: object) -> Iterator[str]:
    paths = written.values() if isinstance(written, Mapping) else written if isinstance(written, list) else [written]
    for path in paths:
        if isinstance(path, str) and path.strip() and "/" not in path and not os.path.splitext(path)[1]:
            yield path


def _to_fill_in(module: str, dataset: str, output_dir: object) -> str:
    folder = output_dir.rstrip("/") if isinstance(output_dir, str) else "{output_dir}"
    return (
        f"`{module}` names the output of scAtlasTb's module `{module}`; write the path of its file instead, "
        f"such as {folder}/{module}/dataset~{dataset}/file_id~….zarr."
    )


def _asks_gpu(dataset: object, below: Mapping[str, object]) -> bool:
    return {**below, **_clustering(dataset)}.get("use_gpu") is True


def _mappings(result: Mapping[str, object]) -> list[Any]:
    return list(_mapping(result.get("DATASETS")).values())


def _clustering(section: object) -> dict[str, object]:
    return {str(key): value for key, value in _mapping(_mapping(section).get("clustering")).items()}


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}
