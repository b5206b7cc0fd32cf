"""What a page tells of evidence: a table of splits, and the clusters that are of one batch."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from cellstrata.tasks.report.clusters import Grown
from cellstrata.tasks.report.evidence import evidence_document, evidence_table, of_one_batch
from cellstrata.tasks.report.page import page
from tests.tasks.small_subjects import subject_of_size

NAN = math.nan


def row(
    cluster: str, column: str = "leiden_0.5_1", batches: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "cluster": cluster, "column": "leiden_0.5_1", "n_cells": 100, "n_children": 1, "reason": "",
        "batches": json.dumps(batches) if batches else "", "replicability": NAN, "expected": NAN, "p": NAN,
        "purity": NAN, "separation": NAN, **more,
    }  # fmt: skip


def spread(largest: float, of: str, groups: int = 1) -> dict[str, Any]:
    return {"donor": {"largest": largest, "of": of, "entropy": 0.1, "groups": groups}}


def tree(*rows: dict[str, Any], root: dict[str, Any] | None = None) -> Grown:
    parents, leaves = np.full(len(rows), -1, np.int32), np.zeros(0, np.int32)
    return Grown("leiden", 0.5, ("leiden_0.5_1",), rows, parents, leaves, root)


def test_the_table_has_the_splits_with_evidence() -> None:
    found = evidence_table(
        [
            tree(
                row("0", replicability=-0.001, expected=0.2, p=0.9, reason="not replicable: 0.00 (needs 0.5)"),
                row("1"),
                root=row("all", replicability=0.91, expected=NAN, p=NAN, n_children=2),
            )
        ]
    )
    assert found is not None
    texts = [[cell.text for cell in each] for each in found.rows]
    assert texts == [
        ["leiden 0.5", "all", "100", "2", "0.91", "", "", ""],
        ["leiden 0.5", "0", "100", "1", "0.00", "0.20", "0.9", "not replicable: 0.00 (needs 0.5)"],
    ]
    assert evidence_table([tree(row("0"))]) is None


def test_clusters_of_one_donor_are_named() -> None:
    mixed, alone = row("0", batches=spread(0.4, "a", 4)), row("1", batches=spread(0.95, "b"))
    found = of_one_batch([tree(mixed, alone)])
    assert found is not None
    assert found.which == (("leiden_0.5_1", "1 (donor b: 95%)"),)
    assert found.said == "1 time nearly all cells of a cluster are from one batch or donor."


def test_of_a_column_with_one_donor_nothing_is_said() -> None:
    assert of_one_batch([tree(row("0", batches=spread(1.0, "a")), row("1", batches=spread(1.0, "a")))]) is None
    both = of_one_batch([tree(row("0", batches=spread(1.0, "a")), row("1", batches=spread(1.0, "b")))])
    assert both is not None
    assert both.said.startswith("2 times ")
    assert of_one_batch([tree(row("0"))]) is None


def test_numbers_of_the_tree() -> None:
    assert evidence_document([row("0"), row("1")]) == {}
    found = evidence_document([row("0", purity=0.123456), row("1", replicability=0.5)])
    assert found["purity"] == [0.1235, None]
    assert found["replicability"] == [None, 0.5]


def test_a_page_tells_of_it_and_an_older_tree_is_no_fault() -> None:
    subject = subject_of_size(300, 1)
    assert b"Evidence for splits" not in page(subject, "k")
    told = subject.tree.assign(replicability=0.8, expected=0.1, p=1e-6, purity=0.9, separation=4.0, batches="")
    html = page(type(subject)(**{**vars(subject), "tree": told}), "k").decode()
    assert "Evidence for splits" in html
    assert '"replicability":[0.8' in html.replace(" ", "")
