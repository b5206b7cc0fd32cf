"""What a run came to, in words, and what of it fails a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cellstrata.flows.monitor.outcome import log_of, run_state, splits_message, summary_of
from cellstrata.flows.monitor.progress import Counts, Progress
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary


@pytest.mark.parametrize(
    ("executed", "cached", "said"),
    [
        (12, 298, "12 of 310 splits computed, 298 from cache"),
        (0, 1310, "nothing computed, all 1,310 splits from cache"),
        (0, 0, "nothing to compute"),
    ],
)
def test_splits_are_counted_in_words(executed: int, cached: int, said: str) -> None:
    assert splits_message(Counts(executed, cached)) == said


def test_a_run_of_which_one_input_failed_has_failed_and_keeps_its_summary() -> None:
    done, broken = DatasetSummary(splits=Counts(3, 1)), DatasetSummary(error="d/g: X_pca: is gone")
    summary = RunSummary(datasets={"d/f": done, "d/g": broken}, seconds=1.0)
    state = run_state(summary)
    assert state.is_failed()
    assert state.message == ("1 of 2 inputs failed; 3 of 4 splits computed, 1 from cache. d/g: d/g: X_pca: is gone")
    assert asyncio.run(summary_of(state)) == summary
    assert run_state(RunSummary(datasets={"d/f": done})).message == "1 input: 3 of 4 splits computed, 1 from cache"


def test_the_log_of_a_run_of_any_size_has_ten_lines() -> None:
    lines = []

    class Log:
        def log(self, _: int, text: str, *values: Any) -> None:
            lines.append(text % values)

    log = log_of(Log())
    for settled in range(1, 10_001):
        log(Progress("d/f", settled, 10_000, Counts(settled, 5)))
    assert len(lines) == 10
    assert lines[4] == "d/f: 50 % of the cells' levels settled, 5000 splits computed, 5 from cache"
