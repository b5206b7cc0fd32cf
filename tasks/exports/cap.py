"""An h5ad for the Cell Annotation Platform, after its schema 2.0.0: sets of annotations and their hierarchy.

https://github.com/cellannotation/cap-data-schema: `uns['cap_metadata']` has `cellannotation_metadata`, an entry for
each set, and `hierarchy`, the rank of each, 0 the broadest; obs has `<set>--cell_fullname` and so on, and clusterings
are called `cluster_…`. What is not known here has no value, and is filled in on the platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cellstrata.configs.errors import listed
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.reading import read_uns, uns_keys
from cellstrata.tasks.exports.anndata_file import Additions, write_anndata
from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported, Level, factor, one_tree
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place

VERSION = "2.0.0"
KEY, SETS, RANKS, SCHEMA = "cap_metadata", "cellannotation_metadata", "hierarchy", "cellannotation_schema_version"
UNKNOWN = ("cell_ontology_term", "marker_gene_evidence")  # of a set: asked for by the schema, and not known here
# Where the code of an engine is, by the first word of its version.
REPOSITORIES = {
    "igraph": "https://github.com/igraph/python-igraph",
    "leidenalg": "https://github.com/vtraag/leidenalg",
    "cugraph": "https://github.com/rapidsai/cugraph",
}
NA = "NA"
MOST_NAMES = 8


def additions(found: Exported, levels: tuple[Level, ...], existing: Mapping[str, Any]) -> Additions:
    """Return what the schema asks for of a tree whose levels are sets; entries of `existing`, the `uns['cap_metadata']`
    of the result, stay."""
    obs: dict[str, Any] = {}
    for number, level in enumerate(levels):
        obs |= _set_columns(found, level, levels[number - 1] if number else None)
        obs[f"cluster_{level.of}"] = factor(found.clusters(level.of))
    ours = {level.column: _set(found, level) for level in levels}
    metadata = {
        SCHEMA: VERSION,
        RANKS: {level.column: rank for rank, level in enumerate(levels)},
        **existing,
        SETS: {**existing.get(SETS, {}), **ours},
    }
    return Additions(obs, {KEY: metadata})


def _set_columns(found: Exported, level: Level, above: Level | None) -> dict[str, Any]:
    n = len(level.labels)
    terms = [one.ontology for one in level.groups] or [None] * n
    curator = _curator(found, level)
    columns: dict[str, Any] = {
        "cell_fullname": factor(level),
        "cell_ontology_exists": _truths(level, [term is not None for term in terms]),
        "cell_ontology_term_id": _texts(level, terms),
        "rationale": _texts(level, [_rationale(level, at, curator) for at in range(n)]),
        **{name: _texts(level, [None] * n) for name in UNKNOWN},
    }
    if above is not None:
        upper = [above.groups[parent].ontology if above.groups else None for parent in level.parents.tolist()]
        columns |= {
            "category_fullname": _texts(level, [above.labels[parent] for parent in level.parents.tolist()]),
            "category_cell_ontology_exists": _truths(level, [term is not None for term in upper]),
            "category_cell_ontology_term_id": _texts(level, upper),
        }
    return {f"{level.column}--{name}": values for name, values in columns.items()}


def _rationale(level: Level, at: int, curator: str) -> str:
    if not level.groups:
        return f"Cluster {level.labels[at]} of {level.of}, found by cellstrata."
    clusters = level.groups[at].clusters
    return f"Cluster{'s'[: len(clusters) != 1]} {', '.join(clusters)} of {level.of}, named by {curator}."


def _curator(found: Exported, level: Level) -> str:
    """Return who named the clusters of a level last."""
    named = (entry for entry in reversed(found.record.curations) if level.of in entry.get("groups", {}))
    return next((str(entry.get("curator", "")) for entry in named), "")


def _set(found: Exported, level: Level) -> dict[str, str]:
    """Return what the schema asks for of a set."""
    facts = found.record.facts.get(level.of)
    algorithm = facts.algorithm if facts is not None else None
    if facts is None or algorithm is None:  # labels that people have given
        return {
            "description": f"Labels of obs['{level.of}'], adopted by cellstrata.", "annotation_method": "manual",
            **dict.fromkeys(("algorithm_name", "algorithm_version", "algorithm_repo_url"), NA),
            **dict.fromkeys(("reference_location", "reference_description"), NA),
        }  # fmt: skip
    versions = dict.fromkeys(
        str(row["engine"]) for row in found.record.rows.clusters(level.of).values() if row["engine"]
    )
    root = found.record.rows.root(found.record.rows.above(level.of)[0])
    version = str(root["engine"]) if root is not None and root["engine"] else next(iter(versions), "")
    named = f", named by {_curator(found, level)}" if level.groups else ""
    return {
        "description": (
            f"Clusters of level {facts.level} by {algorithm} at resolution {facts.base_resolution}, made by "
            f"cellstrata{named}."
        ),
        "annotation_method": "both" if level.groups else "algorithmic",
        "algorithm_name": algorithm,
        "algorithm_version": version or NA,
        "algorithm_repo_url": next((url for word, url in REPOSITORIES.items() if word in version), NA),
        "reference_location": NA,
        "reference_description": NA,
    }


def _texts(level: Level, texts: list[str | None]) -> Any:
    """Return a text for each cell by its label, None a missing value: a categorical of strings."""
    with IMPORTING:
        import pandas as pd

    kept = list(dict.fromkeys(text for text in texts if text is not None))
    numbers = np.array([*(-1 if text is None else kept.index(text) for text in texts), -1], np.int32)
    return pd.Categorical.from_codes(numbers[level.codes], categories=pd.Index(kept, dtype=object))


def _truths(level: Level, values: list[bool]) -> np.ndarray:
    return np.array([*values, False])[level.codes]


def _write(found: Exported, place: Place) -> Written:
    levels = one_tree(found, "cap")
    with found.record.source.root() as root, reading(found.record.url, f"uns[{KEY!r}]"):
        keys = uns_keys(root)
        existing = dict(read_uns(root, KEY)) if KEY in keys else {}
    more = additions(found, levels, existing)
    if taken := [name for name in more.obs if name in found.record.obs]:
        raise InputError(
            found.record.url, f"obs[{taken[0]!r}]", "is there already; rename it, or export the result itself"
        )
    notices = []
    if SETS in keys or SCHEMA in keys:
        notices.append(f"uns[{SETS!r}] and the like are of a schema before 2.0; they stay beside uns[{KEY!r}]")
    if RANKS in existing:
        notices.append(f"uns[{KEY!r}] has a hierarchy of its own, which stays; the sets are in it with no rank")
    write_anndata(replace(found, columns=tuple(level.of for level in levels)), place, more)
    return Written(f"the sets {listed([level.column for level in levels], MOST_NAMES)}", tuple(notices))


FORMAT = Format((".h5ad",), "an AnnData for the Cell Annotation Platform", _write)
