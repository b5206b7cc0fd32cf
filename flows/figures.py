"""Drawing a dataset's figures when its result is published; that they cannot be drawn never fails a run."""

from __future__ import annotations

from typing import Any

from cellstrata.configs.model import RunConfig
from cellstrata.flows.executors.executor import Stopped
from cellstrata.flows.steps import run_step
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.figures.draw import draw_figures
from cellstrata.tasks.figures.record import find_figures
from cellstrata.tasks.figures.request import FigureRequest, wants_figures
from cellstrata.tasks.inputs.inspection import Input

FEW = 3


async def figures_of(config: RunConfig, source: Input, key: str, cache: Cache) -> tuple[dict[str, Any], list[str]]:
    """Draw the figures that are asked for and not there yet, in a process of their own.

    `key` is that of the published result. Returns the report of `draw_figures` with the `folder` (empty if
    none are asked for), and what the user should know.
    """
    if not wants_figures(config, source.dataset):
        return {}, []
    request = FigureRequest.of(config, source, key, cache)
    find = None if config.refresh else find_figures
    try:
        report: dict[str, Any] = await run_step(f"{source.name} · figures", "apart", draw_figures, request, find=find)
    except Stopped:
        raise
    except Exception as error:
        return {}, [f"its figures could not be drawn ({type(error).__name__}: {error}); the result is whole"]
    return report | {"folder": request.folder}, _skipped(report["skipped"])


def _skipped(reasons: list[str]) -> list[str]:
    if not reasons:
        return []
    more = f" and {len(reasons) - FEW} more" if len(reasons) > FEW else ""
    return [f"not drawn: {'; '.join(reasons[:FEW])}{more}"]
