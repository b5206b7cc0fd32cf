"""Lays each dataset over the defaults, and finds the way back from the result to what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellstrata.configs.clustering_args import STANDS_FOR, folded
from cellstrata.configs.dataset import name_problem
from cellstrata.configs.errors import Path, Problem, did_you_mean, one_of

# Sections of the ancestor's other modules, which may stand in the same file.
OTHER_MODULES = frozenset(
    {
        "batch_analysis",
        "celltype_prediction",
        "collect",
        "doublets",
        "exploration",
        "filter",
        "get_thresholds",
        "integration",
        "label_harmonization",
        "label_transfer",
        "load_data",
        "majority_voting",
        "marker_genes",
        "merge",
        "metrics",
        "pca",
        "plotting",
        "preprocessing",
        "qc",
        "reference_mapping",
        "relabel",
        "sample_representation",
        "scarches_mapping",
        "split_data",
        "subset",
        "uncollect",
    }
)

# Replaced as a whole: half of one hierarchy and half of another is neither.
_WHOLE = frozenset({"hierarchy"})


def merged(data: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """Lay the datasets over `defaults.clustering`; leave out those that take no part.

    Returns the data to validate and the problems found on the way; what has the wrong type is left for
    the validation.
    """
    whole = dict(data)
    datasets = whole.get("DATASETS")
    if datasets is None or datasets == {}:
        whole["DATASETS"] = {}
        problem = Problem(("DATASETS",), "names no dataset", "write `DATASETS: {name: {input: {clustering: path}, …}}`")
        # A near miss of the key itself is reported as an unknown key, with its suggestion.
        missed = any(did_you_mean(key, ["DATASETS"]) for key in whole if key not in ("DATASETS", "dask"))
        return whole, [] if missed else [problem]
    if not isinstance(datasets, Mapping):
        return whole, []
    problems: list[Problem] = []
    base = _default_clustering(whole)
    kept: dict[str, object] = {}
    for name, dataset in datasets.items():
        reason = name_problem(name, "dataset")
        if reason:
            problems.append(Problem(("DATASETS", str(name)), reason, "choose another name"))
        elif str(name) in kept:
            problems.append(Problem(("DATASETS", str(name)), "the dataset is given twice", "rename one of them"))
        elif takes_part(dataset):
            kept[str(name)] = _over_defaults(dataset, base)
        else:
            problems += _near_misses(str(name), dataset)
    if not kept and not problems:
        hint = "write where the data are: `input: {clustering: path}`"
        problems.append(Problem(("DATASETS",), "no dataset has `input.clustering`", hint))
    whole["DATASETS"] = kept
    problems += _selection(whole, datasets)
    return whole, problems


def takes_part(dataset: object) -> bool:
    """Say whether a dataset is to be clustered; one that is no mapping is for the validation to refuse."""
    if not isinstance(dataset, Mapping):
        return dataset is not None
    given = dataset.get("input")
    if not isinstance(given, Mapping):
        return given is not None
    return "clustering" in given


def written_at(path: Path, data: Mapping[str, Any]) -> Path:
    """Find where the user wrote what stands at `path` of the merged data."""
    if len(path) < 4 or path[0] != "DATASETS" or path[2] != "clustering":
        return path
    name, rest = path[1], [str(part) for part in path[3:]]
    own = _mapping_at(data, "DATASETS", name, "clustering")
    default = _mapping_at(data, "defaults", "clustering")
    for section, base in ((own, path[:3]), (default, ("defaults", "clustering"))):
        key = rest[0]
        value = section.get(key)
        for argument, stands_for in STANDS_FOR.items():
            if stands_for == key and argument in _mapping_at(section, "clustering_args"):
                return (*base, "clustering_args", argument)
        if key not in section:
            continue
        other = default.get(key) if section is own else None
        mixed = isinstance(value, Mapping) and isinstance(other, Mapping) and key not in _WHOLE
        if mixed and len(rest) > 1 and isinstance(value, Mapping) and rest[1] not in value:
            continue
        return (*base, *path[3:])
    return path


def _default_clustering(data: Mapping[str, object]) -> dict[str, object]:
    return folded(_mapping_at(data, "defaults", "clustering"))


def _over_defaults(dataset: object, base: Mapping[str, object]) -> object:
    if not isinstance(dataset, Mapping):
        return dataset
    result = {key: value for key, value in dataset.items() if key not in OTHER_MODULES}
    own = result.get("clustering")
    if own is not None and not isinstance(own, Mapping):
        return result
    clustering = dict(base)
    for key, value in folded(own or {}).items():
        below = clustering.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and key not in _WHOLE:
            value = {**below, **value}
        clustering[key] = value
    result["clustering"] = clustering
    return result


def _near_misses(name: str, dataset: object) -> list[Problem]:
    if not isinstance(dataset, Mapping):
        return []
    given = dataset.get("input")
    inner = given if isinstance(given, Mapping) else {}
    return [
        Problem(("DATASETS", name, *base, str(key)), "unknown key", did_you_mean(key, [wanted]))
        for section, base, wanted in ((dataset, (), "input"), (inner, ("input",), "clustering"))
        for key in section
        if key not in OTHER_MODULES | {wanted} and did_you_mean(key, [wanted])
    ]


def _selection(whole: dict[str, Any], datasets: Mapping[Any, object]) -> list[Problem]:
    """Check `defaults.datasets`, and keep of it those that take part."""
    defaults = whole.get("defaults")
    if not isinstance(defaults, Mapping) or defaults.get("datasets") is None:
        return []
    chosen = [defaults["datasets"]] if isinstance(defaults["datasets"], str) else defaults["datasets"]
    if not isinstance(chosen, list):
        return []
    path = ("defaults", "datasets")
    known = [str(name) for name in datasets]
    problems = [
        Problem((*path, index), "no such dataset", did_you_mean(name, known) or f"there are {one_of(known)}")
        for index, name in enumerate(chosen)
        if str(name) not in known
    ]
    taking_part = [str(name) for name in chosen if str(name) in whole["DATASETS"]]
    if not problems and not taking_part and whole["DATASETS"]:
        problems.append(Problem(path, "selects no dataset that takes part", "leave it out to take all"))
    whole["defaults"] = {**defaults, "datasets": list(dict.fromkeys(taking_part))}
    return problems


def _mapping_at(data: Mapping[str, object], *path: str | int) -> Mapping[str, object]:
    value: object = data
    for part in path:
        if not isinstance(value, Mapping):
            return {}
        value = next((inner for key, inner in value.items() if str(key) == str(part)), None)
    return value if isinstance(value, Mapping) else {}
