"""The section of the report on resolutions: a sentence, a chart and a table, or no more of them than is known."""

from __future__ import annotations

from dataclasses import replace

from cellstrata.tasks.advice.advice import advise
from cellstrata.tasks.report.page import page
from cellstrata.tasks.report.resolutions import LEFT, WIDE, resolutions_of
from tests.tasks.advice.test_advice import SWEEP, facts
from tests.tasks.small_subjects import subject_of_size

FOUND = advise("leiden", SWEEP)


def test_the_chart_has_a_dot_for_each_resolution_and_the_advised_stands_out() -> None:
    (section,) = resolutions_of([FOUND])
    chart = section.chart
    assert chart is not None
    assert [dot.kind for dot in chart.dots] == ["candidate", "", "advised", "", "candidate", ""]
    assert [line.name for line in chart.lines] == [
        "halves with one another", "halves with all cells", "halves of clouds without groups",
    ]  # fmt: skip
    across = [dot.x for dot in chart.dots]
    assert across == sorted(across)
    assert LEFT < across[0] < across[-1] < LEFT + WIDE
    heights = {dot.tip: dot.y for dot in chart.dots}
    assert min(heights, key=heights.__getitem__) == "resolution 0.1: 3 clusters, replicability 0.95"
    (band,) = chart.bands  # one plateau has several resolutions
    assert band[0] < across[1] < across[3] < band[0] + band[1]
    assert [row[0].text for row in section.table.rows] == ["0.1", "0.25", "0.4", "0.63", "1", "1.6"]
    assert [row[2].text for row in section.table.rows][-2:] == ["candidate", "does\u00a0not\u00a0stand"]


def test_names_that_would_overlap_are_left_out() -> None:
    close = [facts(1.0 + 0.001 * at, 5, 0.9, next_alike=1.0) for at in range(15)] + [facts(9.0, 50, 0.1)]
    (section,) = resolutions_of([advise("leiden", close)])
    assert section.chart is not None
    assert [tick[1] for tick in section.chart.ticks] == ["1", "9"]
    assert len(section.chart.dots) == 16


def test_what_was_not_measured_has_no_chart() -> None:
    (section,) = resolutions_of([advise("louvain", [facts(0.2, 5, next_alike=0.1), facts(1.0, 20)])])
    assert section.chart is None
    assert len(section.table.rows) == 2


def test_the_page_has_the_section_where_there_is_advice() -> None:
    subject = subject_of_size(200, 2)
    assert 'id="resolutions"' not in page(subject, "key").decode()
    text = page(replace(subject, advice=(replace(FOUND, said="take <b>0.4</b>"),)), "key").decode()
    assert text.count('id="resolutions"') == 1
    assert "take &lt;b&gt;0.4&lt;/b&gt;" in text
    assert text.count('<circle class="advised"') == 1
    assert text.index('id="clustree"') < text.index('id="resolutions"') < text.index('id="composition"')
