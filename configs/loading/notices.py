"""What a reader should know about a configuration that works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellstrata.configs.cluster_ids import NamedCluster, TreeId
from cellstrata.configs.merging import OTHER_MODULES, takes_part
from cellstrata.configs.model import RunConfig


def notices_of(data: Mapping[str, Any], config: RunConfig) -> list[str]:
    """List what has no effect, or may mean something else than its writer thinks."""
    found = []
    ignored = [key for key in ("env_mode", "resources") if data.get(key) is not None]
    if ignored:
        have = "has" if len(ignored) == 1 else "have"
        found.append(f"{' and '.join(ignored)} {have} no effect here; `runner` and `workers` say what computes.")
    datasets = data.get("DATASETS")
    found += _left_out(datasets if isinstance(datasets, Mapping) else {})
    found += _could_be_levels(config)
    found += _of_several_trees(config)
    return found


def _left_out(datasets: Mapping[object, object]) -> list[str]:
    absent = [str(name) for name, dataset in datasets.items() if not takes_part(dataset)]
    modules: set[str] = set()
    for dataset in datasets.values():
        if takes_part(dataset) and isinstance(dataset, Mapping):
            modules |= {str(key) for key in dataset if key in OTHER_MODULES}
            inputs = dataset.get("input")
            if isinstance(inputs, Mapping):
                modules |= {f"input.{key}" for key in inputs if key != "clustering"}
    found = []
    if absent:
        found.append(f"Without `input.clustering`, and left out: {', '.join(absent)}.")
    if modules:
        found.append(f"Of other modules, and ignored: {', '.join(sorted(modules))}.")
    return found


def _could_be_levels(config: RunConfig) -> list[str]:
    spelled: dict[str, list[str]] = {}
    for name, dataset in config.selected.items():
        hierarchy = dataset.clustering.hierarchy
        if hierarchy.looks_like_levels:
            text = "{" + ", ".join(f"{key}: {_short(value)}" for key, value in hierarchy.spelling.items()) + "}"
            spelled.setdefault(text, []).append(name)
    return [
        f"`hierarchy: {text}` ({', '.join(names)}) names clusters: these are split, the others "
        f"stay whole. If levels are meant, write `hierarchy: {{levels: {text}}}`; "
        f"`hierarchy: {{clusters: {text}}}` says the same without this notice."
        for text, names in spelled.items()
    ]


def _of_several_trees(config: RunConfig) -> list[str]:
    said: dict[tuple[str, ...], list[str]] = {}
    for name, dataset in config.selected.items():
        settings = dataset.clustering
        resolutions = settings.listed_resolutions
        trees = [TreeId(algorithm, number) for algorithm in settings.algorithm for number in resolutions]
        for path in settings.hierarchy.named_clusters() if len(trees) > 1 else ():
            met = [str(tree) for tree in trees if path not in settings.hierarchy.of_trees.get(tree, {})]
            if len(met) > 1:
                said.setdefault((str(NamedCluster(None, path)), *met), []).append(name)
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (label, *met), names in said.items():
        found.setdefault((tuple(met), tuple(names)), []).append(label)
    return [
        f"`hierarchy` ({', '.join(names)}) names {_cluster(labels)}, which {'is' if len(labels) == 1 else 'are'} of "
        f'other cells in each of {_listed(met)}. "{met[0]}:{labels[0]}" names that of one alone.'
        for (met, names), labels in found.items()
    ]


def _cluster(labels: Sequence[str]) -> str:
    return f"cluster{'s'[: len(labels) != 1]} {_listed(labels)}"


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}"
    return str(value)
