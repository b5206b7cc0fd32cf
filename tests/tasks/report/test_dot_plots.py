"""The dots of a page are those of the profiles, within what a byte can tell, and have their room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellstrata.tasks.report import dot_plots
from cellstrata.tasks.report.page import page
from tests.tasks.report.reports import NAUGHTY, Page, parsed
from tests.tasks.small_subjects import BELOW, TOP, marked, subject_of_size

SUBJECT = marked(subject_of_size(2000, 2))


def drawn(html: bytes) -> tuple[Page, list[tuple[dict[str, object], np.ndarray, np.ndarray]]]:
    """A page, and its families with the means and shares of each, (genes, clusters + 1)."""
    found, at = parsed(html), 0
    means, shares = (found.array(f"dots/{name}") for name in ("means", "shares"))
    families = []
    for family in found.facts["dots"]["families"]:
        shape = len(family["genes"]), len(family["clusters"]) + 1
        part, at = slice(at, at + shape[0] * shape[1]), at + shape[0] * shape[1]
        of_highest = means[part].reshape(shape) / 255
        families.append((family, of_highest * np.array(family["highest"])[:, None], shares[part].reshape(shape) / 255))
    assert at == len(means) == len(shares)
    return found, families


def test_dots_are_those_of_the_profiles() -> None:
    found, families = drawn(page(SUBJECT, "key"))
    assert SUBJECT.markers is not None
    profiles = {(one.column, one.family.parent): one for one in SUBJECT.markers.profiles}
    assert len(profiles) == len(families) == 2 * (1 + TOP)
    dots, trees = found.facts["dots"], found.facts["trees"]
    assert (dots["matrix"], dots["left"]) == ("X", 0)
    for family, means, shares in families:
        tree = trees[family["tree"]]
        labels = [tree["label"][at] for at in family["clusters"]]
        column = tree["columns"][tree["level"][family["clusters"][0]]]
        one = profiles.pop((column, tree["label"][family["parent"]] if family["parent"] >= 0 else ""))
        assert one.labels == tuple(labels)
        assert {tree["parent"][at] for at in family["clusters"]} == {family["parent"]}
        names = [dots["genes"][gene] for gene in family["genes"]]
        assert names == SUBJECT.markers.genes[one.family.genes].tolist()
        np.testing.assert_allclose(means, one.means, atol=float(one.means.max()) / 500)
        np.testing.assert_allclose(shares, one.shares, atol=1 / 500)
        assert {kind: [list(each) for each in best] for kind, best in one.family.best.items()} == family["best"]
        assert all(len(each) == 5 for best in family["best"].values() for each in best)  # without the one of less
    assert {len(family["clusters"]) for family, _, _ in families} == {TOP, BELOW}


def test_what_has_no_room_is_counted_the_first_levels_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SUBJECT.markers is not None
    first = sum(one.means.size for one in SUBJECT.markers.profiles if not one.family.parent)
    monkeypatch.setattr(dot_plots, "MOST_DOTS", first + 10)
    found, families = drawn(page(SUBJECT, "key"))
    assert [(family["tree"], family["parent"]) for family, _, _ in families] == [(0, -1), (1, -1)]
    assert found.facts["dots"]["left"] == 2 * TOP


def test_a_gene_that_none_has_is_no_dot() -> None:
    assert dot_plots._parts(np.zeros((2, 3), np.float32), np.zeros((2, 1))).tolist() == [0] * 6


def test_without_markers_there_are_none() -> None:
    found, families = drawn(page(subject_of_size(200, 1), "key"))
    assert families == []
    assert found.facts["dots"]["genes"] == []


def test_names_of_genes_matrix_and_dataset_are_text() -> None:
    assert SUBJECT.markers is not None
    genes = np.array([f"{NAUGHTY}{number}" for number in range(len(SUBJECT.markers.genes))], dtype=object)
    markers = replace(SUBJECT.markers, genes=genes, matrix=NAUGHTY)
    html = page(replace(SUBJECT, name=NAUGHTY, markers=markers), "key")
    found = parsed(html)
    assert {tag for tag, _ in found.tags} & {"img", "b", "i"} == set()
    assert b"<img" not in html
    assert "".join(found.text).count(NAUGHTY) > 10
    assert found.facts["dots"]["matrix"] == NAUGHTY
    assert all(name.startswith(NAUGHTY) for name in found.facts["dots"]["genes"])
