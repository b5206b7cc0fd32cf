"""How far a call is, as a bar: tqdm's, which scanpy brings."""

from __future__ import annotations

import warnings
from typing import Any

from cellstrata.flows.monitor.progress import Progress
from cellstrata.tasks.imports.turns import IMPORTING


class ProgressBar:
    """A bar of cells times levels, and how many splits were computed and found; with `shown` False it is silent."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def follow(self, progress: Progress) -> None:
        """Show how far the call is."""
        if not self._shown:
            return
        if self._bar is None:
            self._bar = _bar()
        self._bar.total = progress.total
        self._bar.n = progress.settled
        counts = progress.counts
        self._bar.set_postfix_str(f"{counts.executed} computed, {counts.cached} from the cache", refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def _bar() -> Any:
    with IMPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook without ipywidgets: tqdm writes text there
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

    return tqdm(desc="cellstrata", unit=" cells", unit_scale=True, mininterval=0)
