"""Advice in one sentence, for people who know the numbers of none of it."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.tasks.advice.candidates import JudgedResolution

LIKE = 0.02  # two numbers that are nearer are said to be the same


def sentence(resolutions: Sequence[JudgedResolution], advised: JudgedResolution | None) -> str:
    """Return what is advised and why, as `0.4 to 0.63: the same 11 clusters, replicability 0.81; above 0.63 …`.

    `resolutions` are ascending, and `advised` is one of them, None where nothing speaks for one.
    """
    if advised is None:
        if resolutions and all(one.n_clusters < 2 for one in resolutions):
            return (
                f"one cluster at every resolution from {resolutions[0].resolution:g} to {resolutions[-1].resolution:g}"
            )
        return "neither evidence nor several runs tell which resolution to take: `evidence: true` gathers it"
    plateau = [one for one in resolutions if one.plateau == advised.plateau and one.n_clusters > 1]
    first = "" if advised.stands is not False else "no partition passes the rules; the likeliest is at "
    return f"{first}{_plateau(plateau, advised)}{_above(resolutions, plateau, advised)}"


def _plateau(plateau: Sequence[JudgedResolution], advised: JudgedResolution) -> str:
    few, many = min(one.n_clusters for one in plateau), max(one.n_clusters for one in plateau)
    low, high = plateau[0].resolution, plateau[-1].resolution
    measure = f"{_measure(advised)} {advised.measure:.2f}"
    if len(plateau) == 1:
        return f"{low:g}: {many:,} clusters, {measure}"
    if few == many:
        return f"{low:g} to {high:g}: the same {many:,} clusters, {measure}"
    return f"{low:g} to {high:g}: much the same {few:,} to {many:,} clusters, {measure} at {advised.resolution:g}"


def _above(
    resolutions: Sequence[JudgedResolution], plateau: Sequence[JudgedResolution], advised: JudgedResolution
) -> str:
    high = plateau[-1].resolution
    above = [one for one in resolutions if one.resolution > high and one.is_measured]
    if not above:
        return ""
    last = above[-1]
    change = last.measure - advised.measure
    how = "stays so" if abs(change) < LIKE else f"{'falls' if change < 0 else 'rises'} to {last.measure:.2f}"
    number = "rises to" if last.n_clusters > plateau[-1].n_clusters else "is"
    return f"; above {high:g} the number {number} {last.n_clusters:,}, and {_measure(last)} {how}"


def _measure(one: JudgedResolution) -> str:
    return "stability" if one.replicability is None else "replicability"
