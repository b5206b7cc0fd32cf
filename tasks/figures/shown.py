"""A sheet as a figure of pyplot, which notebooks show by themselves and `plt.show()` shows elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cellstrata.tasks.figures.sheet import Sheet, figures_by
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shown(draw: Callable[[], Sheet]) -> Axes:
    """Draw a sheet on a figure of pyplot; returns its main axes, and leaves no figure where drawing fails."""
    with IMPORTING:
        from matplotlib import pyplot

    before = set(pyplot.get_fignums())
    try:
        with figures_by(pyplot.figure):
            return draw().figure.axes[0]
    except BaseException:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)
        raise
