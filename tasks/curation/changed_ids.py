"""What became of ids that a curation names, where the clusters of a result follow those of an earlier one (`match`)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cellstrata.configs.errors import listed
from cellstrata.tasks.curation.curation_file import Curation
from cellstrata.tasks.results.record import ResultRecord
from cellstrata.tasks.trees.ids import Kinship, kinship_of
from cellstrata.tasks.trees.labels import SEPARATOR

FOUND_AGAIN = 0.75  # Jaccard index of clusters that count as the same without a word (Hennig 2007)
MOST_NAMES = 8


def fate_of(record: ResultRecord, column: str, label: str) -> str | None:
    """Say what became of an id that the column has no more; None where nothing is known of that."""
    retired = _retired(record, column)
    gone = next((part for part in _ancestors(label) if part in retired), None)
    if gone is None:
        return None
    if gone != label:
        return f"its parent {gone} is retired, and its cells are in other clusters"
    kin = _kin(record, column)
    merged = [each for each, one in kin.items() if label in one.merged_from]
    parts = [each for each, one in kin.items() if one.split_from == label]
    like = [each for each, one in kin.items() if one.was == label]
    if merged:
        return f"it is retired: it was merged into {listed(merged, MOST_NAMES)}"
    if parts:
        return f"it is retired: it was split into {listed(parts, MOST_NAMES)}"
    return f"it is retired{f': most like it is {listed(like, MOST_NAMES)}' if like else ''}"


def origin_of(record: ResultRecord, column: str, label: str) -> str:
    """Return a cluster's id, of a new one with the one that it was most like."""
    kin = _kin(record, column).get(label)
    return f"{label} (new, most like {kin.was})" if kin is not None and kin.new and kin.was else label


def changed_ids(record: ResultRecord, curation: Curation) -> list[str]:
    """Say which of the named clusters have an id of the earlier result, but not only its cells, or not most."""
    named = {name: set(column.clusters) for name, column in curation.columns.items()}
    return [text for name, labels in named.items() for text in _changed(record, name, labels)]


def _changed(record: ResultRecord, column: str, named: set[str]) -> Iterator[str]:
    for label, one in _kin(record, column).items():
        if label not in named or one.new:
            continue
        said = []
        if one.split_from:
            others = [each for each, kin in _kin(record, column).items() if kin.split_from == one.split_from]
            said.append(f"{one.split_from} was split into {listed(others, MOST_NAMES)}")
        if one.merged_from:
            said.append(f"{listed(list(one.merged_from), MOST_NAMES)} were merged into it")
        overlap = one.overlap or 0.0
        if said or overlap < FOUND_AGAIN:
            more = f"; {'; '.join(said)}" if said else ""
            yield f"{column}: {label} is not what it was, overlap {overlap:.2f}{more}; does its name still fit?"


def _kin(record: ResultRecord, column: str) -> dict[str, Kinship]:
    return {label: kin for label, row in record.rows.clusters(column).items() if (kin := kinship_of(row)) is not None}


def _retired(record: ResultRecord, column: str) -> set[str]:
    """Return the retired ids of a column and of those above it: an id has as many numbers as levels."""
    found = json.loads(record.texts.get("match", "{}")).get("retired", {})
    return {str(label) for name in record.rows.above(column) for label in found.get(name, ())}


def _ancestors(label: str) -> list[str]:
    parts = label.split(SEPARATOR)
    return [SEPARATOR.join(parts[:end]) for end in range(1, len(parts) + 1)]
