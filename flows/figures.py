"""Drawing a dataset's figures when its result is published; that they cannot be drawn never fails a run."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.configs.errors import listed
from cellstrata.configs.model import RunConfig
from cellstrata.flows.executors.executor import Stopped
from cellstrata.flows.steps import run_step
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.figures.draw import draw_figures
from cellstrata.tasks.figures.record import DrawnFigures, find_figures
from cellstrata.tasks.figures.request import FigureRequest, wants_figures
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.results.result import Published

FEW = 3


async def figures_of(
    config: RunConfig, source: Input, published: Published, cache: Cache
) -> tuple[DrawnFigures | None, list[str]]:
    """Draw the figures that are asked for and not there yet, in a process of their own.

    Returns the figures, None without any, and what the user should know.
    """
    if not wants_figures(config, source.dataset):
        return None, []
    request = FigureRequest.of(config, source, published.key, published.columns, cache)
    find = None if config.refresh else find_figures
    try:
        drawn: DrawnFigures = await run_step(f"{source.name} · figures", "apart", draw_figures, request, find=find)
    except Stopped:
        raise
    except Exception as error:
        return None, [f"its figures could not be drawn ({type(error).__name__}: {error}); the result is whole"]
    return drawn, _skipped(drawn.skipped)


def _skipped(reasons: Sequence[str]) -> list[str]:
    if not reasons:
        return []
    return [f"not drawn: {listed(reasons, FEW, '; ')}"]
