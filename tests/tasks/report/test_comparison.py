"""The page of a comparison: what it says, that nothing in it is read as HTML, and where the flow is drawn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cellstrata.tasks.evaluation.compared_results import ComparedPair, ComparedResults, Side
from cellstrata.tasks.evaluation.comparison import compare
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.evaluation.flow_layout import arranged, flow, heat
from cellstrata.tasks.figures.comparison_figure import comparison_sheet
from cellstrata.tasks.report.comparison import comparison_page
from tests.tasks.report.reports import NAUGHTY, parsed


def pair(first: list[int], second: list[int], labels: tuple[str, ...] = ("a", "b", "c")) -> ComparedPair:
    one = Categories("one", np.array(first, np.int32), labels, dict.fromkeys(labels, "#0072b2"))
    other = Categories("two", np.array(second, np.int32), ("x", "y", "z"), {})
    return ComparedPair(Side("r.zarr", "one"), Side("r.zarr", "two"), compare(one, other))


PAIR = pair([0, 0, 0, 1, 1, 2, -1], [2, 2, 0, 0, 0, 1, 1])


def test_columns_follow_the_rows_that_they_are_most_like() -> None:
    shown = arranged(PAIR.comparison)
    assert (shown.rows.tolist(), shown.columns.tolist()) == ([0, 1, 2], [2, 0, 1])
    values = heat(PAIR.comparison, shown)
    assert values.tolist() == [[2 / 3, 1 / 5, 0], [0, 2 / 3, 0], [0, 0, 1]]


def test_a_flow_has_all_cells_on_both_sides_and_room_for_names() -> None:
    drawn = flow(PAIR.comparison, arranged(PAIR.comparison), least=0.3)
    heights = {round((node.bottom - node.top) / node.n_cells, 9) for node in (*drawn.left, *drawn.right)}
    assert len(heights) == 1  # a cell is equally high everywhere
    for nodes in (drawn.left, drawn.right):
        assert sum(node.n_cells for node in nodes) == 6
        middles = [(node.top + node.bottom) / 2 for node in nodes]
        assert min(np.diff(middles)) >= 0.3 - 1e-9
        assert (nodes[0].top >= 0, nodes[-1].bottom <= 1) == (True, True)
    for side, start, end in (("left", "left_top", "left_bottom"), ("right", "right_top", "right_bottom")):
        for number, node in enumerate(getattr(drawn, side)):
            own = sorted(
                (getattr(one, start), getattr(one, end)) for one in drawn.ribbons if getattr(one, side) == number
            )
            assert own[0][0] == pytest.approx(node.top)
            assert own[-1][1] == pytest.approx(node.bottom)
            assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(own))


def test_small_groups_are_drawn_as_one() -> None:
    shown = arranged(PAIR.comparison, most=2)
    assert (shown.more_rows, shown.more_columns) == (1, 1)
    drawn = flow(PAIR.comparison, shown)
    assert [(node.label, node.n_cells) for node in drawn.left] == [("a", 3), ("b", 2), ("others", 1)]
    assert [(node.label, node.n_cells) for node in drawn.right] == [("z", 2), ("x", 3), ("others", 1)]
    assert sum(ribbon.n_cells for ribbon in drawn.ribbons) == 6


def test_the_page_tells_all_and_reads_no_name_as_html() -> None:
    naughty = pair([0, 0, 1, 1, 2, -1], [0, 0, 1, 1, 2, 0], labels=("a", NAUGHTY, "c"))
    page = parsed(comparison_page(ComparedResults((naughty, PAIR), None), [("result", "r.zarr")], [NAUGHTY]))
    text = " ".join(page.text)
    assert text.count(NAUGHTY) >= 4
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "1 without a value in one" in text
    assert "Pairs of columns" in text
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section" and "id" in attributes] == [
        "pair-0",
        "pair-1",
    ]
    assert not [value for _, attributes in page.tags for value in attributes.values() if value and "http" in value]


def test_the_figure_has_both_forms(tmp_path: Path) -> None:
    sheet = comparison_sheet(PAIR)
    assert sheet.png().startswith(b"\x89PNG")
    svg = sheet.svg().decode()
    assert "ARI" in svg
    assert svg == comparison_sheet(PAIR).svg().decode()
    many = [place % 45 for place in range(90)]
    labels = tuple(f"cluster number {place} of a long name" for place in range(45))
    assert comparison_sheet(pair(many, [place % 3 for place in range(90)], labels)).png()
