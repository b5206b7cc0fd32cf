"""What a sweep over resolutions would do, and the resolutions that it advises where the cache knows all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.tasks.advice.advice import advice_on
from cellstrata.tasks.advice.resolution_facts import sweep_plan
from cellstrata.tasks.advice.sweep import next_resolutions
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.forecast.trees import TreeForecast
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.tree import Tree

Planned = Callable[[Mapping[Algorithm, Sequence[float]]], list[TreePlan]]


@dataclass(frozen=True)
class SweepForecast:
    """The splits of a sweep, and the resolutions `taken` of each algorithm; empty where that is yet to be found."""

    trees: list[TreeForecast]
    taken: Mapping[Algorithm, Sequence[float]]

    @property
    def is_known(self) -> bool:
        """Tell whether every algorithm has its resolutions."""
        return all(self.taken.values())


def forecast_sweep(
    algorithms: Sequence[Algorithm],
    draws: EvidenceConfig | None,
    planned: Planned,
    follow: Callable[[Tree], TreeForecast],
    cache: Cache,
) -> SweepForecast:
    """Follow a sweep as far as the cache knows it.

    `planned` returns the plans of some resolutions, and `follow` forecasts a tree.
    """
    found: list[TreeForecast] = []
    taken: dict[Algorithm, Sequence[float]] = {}
    for algorithm in algorithms:
        plans: list[TreePlan] = []
        clusters: dict[float, int] = {}
        known = True
        while known and (wanted := next_resolutions(clusters)):
            for plan in planned({algorithm: wanted}):
                tree = Tree(sweep_plan(plan, draws))
                forecast = follow(tree)
                forecast.sweeps = True
                found.append(forecast)
                plans.append(tree.plan)
                there = () in tree.outcomes  # not so what another dataset of the run is to split first
                known = known and there and not forecast.levels[1].computes
                if there:
                    clusters[plan.resolution] = tree.n_parts(())
        advice = advice_on(plans, cache) if known else None
        taken[algorithm] = advice.taken if advice is not None else ()
    return SweepForecast(found, taken)
