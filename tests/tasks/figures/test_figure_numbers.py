"""Numbers and colours of figures and reports, without matplotlib: agreement, composition, palettes, order."""

from __future__ import annotations

import colorsys
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.colours.colour_space import BLINDNESS, lab_of, lab_of_linear, lch_of, rgb_of, to_linear
from cellstrata.tasks.colours.palette import LARGEST, MARGIN, category_palette, distinct_colors, tree_palette
from cellstrata.tasks.evaluation.agreement import agreement, contingency
from cellstrata.tasks.evaluation.clustree_edges import clustree_edges
from cellstrata.tasks.evaluation.composition import composition
from cellstrata.tasks.evaluation.covariates import BLANK, categories_of, natural_order
from cellstrata.tasks.figures.names import file_name
from cellstrata.tasks.trees.column_facts import ColumnFacts


def tree_of(levels: list[dict[str, str]]) -> tuple[pd.DataFrame, dict[str, ColumnFacts]]:
    """Return a table and facts as results have them; each level is `{cluster: parent}`."""
    rows = [
        {"column": f"leiden_0.5_{level}", "cluster": cluster, "parent": parent, "level": level, "n_cells": 10}
        for level, clusters in enumerate(levels, 1)
        for cluster, parent in clusters.items()
    ]
    facts = {
        f"leiden_0.5_{level}": ColumnFacts(algorithm="leiden", base_resolution=0.5, level=level)
        for level in range(1, len(levels) + 1)
    }
    return pd.DataFrame(rows), facts


@pytest.mark.parametrize("seed", range(4))
def test_agreement_equals_scikit_learns(seed: int) -> None:
    from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure, normalized_mutual_info_score

    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 9, 3000)
    truth = np.where(rng.random(3000) < seed / 4, clusters % 5, rng.integers(0, 5, 3000))
    truth[rng.random(3000) < 0.1] = -1
    found, both = agreement(contingency(clusters, truth, 9, 5)), truth >= 0
    assert found.n_cells == both.sum()
    assert found.nmi == pytest.approx(normalized_mutual_info_score(truth[both], clusters[both]))
    assert found.ari == pytest.approx(adjusted_rand_score(truth[both], clusters[both]))
    expected = homogeneity_completeness_v_measure(truth[both], clusters[both])
    assert (found.homogeneity, found.completeness, found.v_measure) == pytest.approx(expected)


def test_agreement_at_its_limits() -> None:
    codes = np.repeat(np.arange(4), 25)
    same = agreement(contingency(codes, codes, 4, 4))
    assert (same.nmi, same.ari, same.v_measure) == pytest.approx((1, 1, 1))
    one = agreement(contingency(codes, np.zeros(100, int), 4, 1))
    assert (one.nmi, one.ari) == pytest.approx((0, 0))
    nothing = agreement(contingency(codes, np.full(100, -1), 4, 2))
    assert nothing.n_cells == 0
    assert math.isnan(nothing.nmi)


def test_clusters_of_one_batch_are_flagged() -> None:
    table = np.array([[50, 50], [95, 5], [0, 0], [80, 20]])
    found = composition(table)
    assert found.from_one.tolist() == [False, True, False, False]
    assert found.entropy[0] == 1  # no less mixed than all cells
    assert found.entropy[1] < found.entropy[3] < 1
    assert math.isnan(found.entropy[2])
    assert (found.largest[1], found.share[1]) == (0, 0.95)
    # Where nine tenths of all cells are of one batch, it means nothing that a cluster is.
    assert not composition(np.array([[95, 5], [90, 10]])).from_one.any()


def test_clustree_edges_count_cells_and_shares() -> None:
    codes = {"a": np.array([0, 0, 0, 1, 1, -1]), "b": np.array([0, 0, 1, 1, 1, 0])}
    edges = clustree_edges(["a", "b"], codes, {"a": ["0", "1"], "b": ["0", "1"]})
    found = {(e.source, e.target): (e.n_cells, e.of_source, e.of_target) for e in edges}
    assert found == {
        ("0", "0"): (2, pytest.approx(2 / 3), 1.0),
        ("0", "1"): (1, pytest.approx(1 / 3), pytest.approx(1 / 3)),
        ("1", "1"): (2, 1.0, pytest.approx(2 / 3)),
    }


def test_children_have_shades_of_their_parents_colour() -> None:
    top = {str(i): "" for i in range(8)}
    second = {f"{i}_{j}": str(i) for i in range(8) for j in range(4 if i else 1)}
    third = {f"{name}_{j}": name for name in second for j in range(3)}
    palette = tree_palette(*tree_of([top, second, third]))
    assert [list(colors) for colors in palette.values()] == [list(top), list(second), list(third)]
    first, below, last = palette.values()
    assert below["0_0"] == first["0"]  # an only child
    for child, parent in second.items():
        assert turned(below[child], first[parent]) < 0.35
    for child, parent in third.items():
        assert turned(last[child], first[second[parent]]) < 0.5
    families = [{below[f"{i}_{j}"] for j in range(4)} for i in range(1, 8)]
    assert all(len(family) == 4 for family in families)
    assert len(set.union(*families)) == 28
    lightness = [lch_of(lab_of(rgb_of([below[f"3_{j}"]])))[0, 0] for j in range(4)]
    assert lightness == sorted(lightness)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=16), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_no_child_looks_like_the_child_of_another(families: list[int], below: int) -> None:
    """By the distance in OKLab, of which 0.02 is just seen: at level 2 and, between clusters of level 1, at level 3."""
    top = {str(i): "" for i in range(len(families))}
    second = {f"{i}_{j}": str(i) for i, n in enumerate(families) for j in range(n)}
    third = {f"{name}_{j}": name for name in second for j in range(below)}
    first, *deeper = (lab_of(rgb_of(list(of.values()))) for of in tree_palette(*tree_of([top, second, third])).values())
    apart = np.linalg.norm(first[:, None] - first[None, :], axis=2)
    for colors, names in zip(deeper, (second, third), strict=True):
        family = np.array([int(name.partition("_")[0]) for name in names])
        between = np.linalg.norm(colors[:, None] - colors[None, :], axis=2)
        needed = MARGIN * apart[family[:, None], family[None, :]] - 0.006  # to the next of 255 steps
        assert (between >= needed).all()
        assert between[family[:, None] != family[None, :]].min() > 0.025


def turned(color: str, other: str) -> float:
    """Return how far apart two hues are, in radians."""
    a, b = lch_of(lab_of(rgb_of([color, other])))[:, 2]
    return float(abs((a - b + np.pi) % (2 * np.pi) - np.pi))


def test_below_a_column_that_came_with_the_input_colours_begin_anew() -> None:
    tree, facts = tree_of([{}, {"T_0": "T", "T_1": "T", "B_0": "B"}])
    (column,) = tree_palette(tree, {"leiden_0.5_2": facts["leiden_0.5_2"]}).values()
    assert list(column.values()) == distinct_colors(3)


def test_colours_differ_for_all_kinds_of_eyes() -> None:
    colors = distinct_colors(12)
    light = to_linear(rgb_of(colors))
    for seen in [lab_of_linear(light), *(lab_of_linear(np.clip(light @ m.T, 0, 1)) for m in BLINDNESS.values())]:
        apart = np.linalg.norm(seen[:, None] - seen[None, :], axis=2) + np.eye(12)
        assert apart.min() > 0.04
    assert len(set(distinct_colors(LARGEST))) == LARGEST
    assert distinct_colors(20)[:12] == colors
    assert len(distinct_colors(300)) == 300
    for color in distinct_colors(LARGEST):
        _, lightness, saturation = colorsys.rgb_to_hls(*rgb_of([color])[0])
        assert lightness < 0.95  # not as white as paper
        assert saturation > 0.08  # not as grey as a missing value


def test_names_are_in_the_order_that_people_expect() -> None:
    assert natural_order(["10", "2", "1_10", "1_2", "1"]) == ["1", "1_2", "1_10", "2", "10"]
    assert natural_order(["Donor 10", "donor 9", "B"]) == ["B", "donor 9", "Donor 10"]
    assert natural_order(["-2", "-10", "1.5", "1.25", "1e3", "1e20"]) == ["1.5", "1.25", "1e3", "1e20", "-2", "-10"]
    assert natural_order(["a", "b", "A", "01", "1"]) == natural_order(["1", "A", "01", "b", "a"])  # in whatever order


WORDS = ["nan", "NaN", "none", "None", "unknown", "Unknown", "NA", "N/A", "null", "<NA>", "NaT", "-"]


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_what_is_written_is_a_value_and_only_what_is_missing_is_missing(dtype: str) -> None:
    column = pd.Series(["10", *WORDS, "2", None, "", "2"], dtype=dtype)
    found = categories_of(column, "batch")
    assert set(found.labels) == {"2", "10", *WORDS, BLANK}
    assert [found.labels[code] for code in found.codes if code >= 0] == ["10", *WORDS, "2", BLANK, "2"]
    assert found.n_missing == 1
    assert found.counts()[found.labels.index("2")] == 2
    assert dict(found.colors) == category_palette(found.labels)


def test_a_treatment_of_none_counts_in_agreement_and_composition() -> None:
    clusters = np.repeat([0, 1], 50)
    treatment = categories_of(pd.Series(np.where(clusters, "drug", "none"), dtype="category"), "treatment")
    assert treatment.labels == ("drug", "none")
    assert treatment.n_missing == 0
    table = contingency(clusters, treatment.codes, 2, 2)
    assert agreement(table).nmi == 1.0
    assert agreement(table).n_cells == 100
    found = composition(table)
    assert [treatment.labels[at] for at in found.largest] == ["none", "drug"]
    assert found.n_cells.tolist() == [50, 50]
    assert found.from_one.all()


def test_a_declared_order_and_stored_colours_are_kept() -> None:
    declared = pd.Categorical(["late", "early"], categories=["late", "never", "early"], ordered=True)
    found = categories_of(pd.Series(declared), "stage", ["#000001", "#000002", "#000003"])
    assert found.labels == ("late", "early")
    assert dict(found.colors) == {"late": "#000001", "early": "#000003"}


def test_file_names_of_any_column() -> None:
    assert file_name("cell_type") == "cell_type"
    names = {name: file_name(name) for name in ("CD4/CD8", "CD4_CD8", "CD4:CD8", "..", "a" * 300, "a" * 299)}
    assert len(set(names.values())) == len(names)
    assert not any("/" in name or name.startswith(".") or len(name.encode()) > 120 for name in names.values())


def test_numbers_and_colours_do_not_import_matplotlib() -> None:
    modules = "evaluation.agreement,evaluation.clustree_edges,evaluation.composition,evaluation.covariates,"
    modules += "colours.palette,figures.hierarchy_layout,figures.request,figures.record,figures.draw"
    code = f"import sys\nfor m in '{modules}'.split(','): __import__('cellstrata.tasks.' + m)\n"
    code += "assert not {'matplotlib', 'scanpy', 'prefect', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
