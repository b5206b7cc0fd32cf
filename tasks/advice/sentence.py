"""Advice in one sentence, for people who know the numbers of none of it."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.tasks.advice.candidates import JudgedResolution, comparable, likeliest

LIKE = 0.02  # two numbers that are nearer are said to be the same


def sentence(resolutions: Sequence[JudgedResolution], advised: JudgedResolution | None) -> str:
    """Return what is advised and why, as `0.4 to 0.63: the same 11 clusters, replicability 0.81; above 0.63 …`.

    `resolutions` are ascending, and `advised` is one of them, None where nothing speaks for one.
    """
    if advised is not None:
        plateau = _plateau(resolutions, advised)
        return f"{_said_of(plateau, advised)}{_above(resolutions, plateau, advised)}"
    if resolutions and all(one.n_clusters < 2 for one in resolutions):
        first, last = (number(one.resolution) for one in (resolutions[0], resolutions[-1]))
        return f"one cluster at every resolution from {first} to {last}"
    nearest = likeliest(resolutions)
    if nearest is None:
        return "neither evidence nor several runs tell which resolution to take: `evidence: true` gathers it"
    why = (nearest.reason or "").partition(":")[0]
    return (
        f"no partition stands; the likeliest is at {number(nearest.resolution)}: {nearest.n_clusters:,} clusters, "
        f"{_measured(nearest)} ({why})"
    )


def number(value: float) -> str:
    """Write a resolution as people do, in full where it would become another."""
    return f"{value:g}" if float(f"{value:g}") == value else str(value)


def _plateau(resolutions: Sequence[JudgedResolution], advised: JudgedResolution) -> list[JudgedResolution]:
    """Return what hangs together with the advised one on its plateau, and stands."""
    at = next(place for place, one in enumerate(resolutions) if one is advised)
    first = last = at
    while first and _belongs(resolutions[first - 1], advised):
        first -= 1
    while last + 1 < len(resolutions) and _belongs(resolutions[last + 1], advised):
        last += 1
    return list(resolutions[first : last + 1])


def _belongs(one: JudgedResolution, advised: JudgedResolution) -> bool:
    return one.plateau == advised.plateau and one.stands is not False and one.n_clusters > 1


def _said_of(plateau: Sequence[JudgedResolution], advised: JudgedResolution) -> str:
    few, many = min(one.n_clusters for one in plateau), max(one.n_clusters for one in plateau)
    low, high, own = (number(one.resolution) for one in (plateau[0], plateau[-1], advised))
    if len(plateau) == 1:
        return f"{own}: {many:,} clusters, {_measured(advised)}"
    clusters = f"the same {many:,} clusters" if few == many else f"much the same {few:,} to {many:,} clusters"
    return f"{low} to {high}: {clusters}, {_measured(advised)} at {own}"


def _above(
    resolutions: Sequence[JudgedResolution], plateau: Sequence[JudgedResolution], advised: JudgedResolution
) -> str:
    high = plateau[-1].resolution
    above = [one for one in comparable(resolutions) if one.resolution > high]
    if not above:
        return ""
    last = above[-1]
    more, change = last.n_clusters - plateau[-1].n_clusters, last.measure - advised.measure
    count = f"the number {'rises to' if more > 0 else 'falls to' if more < 0 else 'is still'} {last.n_clusters:,}"
    how = "is as high" if abs(change) < LIKE else f"{'falls' if change < 0 else 'rises'} to {last.measure:z.2f}"
    return f"; above {number(high)} {count}, and {_name(last)} {how}, at {number(last.resolution)}"


def _measured(one: JudgedResolution) -> str:
    return f"{_name(one)} {one.measure:z.2f}"


def _name(one: JudgedResolution) -> str:
    return "replicability" if one.has_evidence else "stability"
