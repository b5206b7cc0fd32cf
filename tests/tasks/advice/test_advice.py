"""What is advised of resolutions of which all is known, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cellstrata.configs.evidence import AUTO
from cellstrata.tasks.advice.advice import Advice, advise
from cellstrata.tasks.advice.resolution_facts import ResolutionFacts
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.evidence.stop import reason_of_evidence
from cellstrata.tasks.stores.json_values import WrongJson


def facts(
    resolution: float,
    n_clusters: int,
    found: float | None = None,
    null: float = 0.1,
    recovered: float | None = None,
    **more: Any,
) -> ResolutionFacts:
    """A partition into equal clusters; `found`, `null` and `recovered`, as high by default, are its evidence."""
    evidence = None
    reason = more.pop("reason", None)
    if found is not None:
        own = found if recovered is None else recovered
        evidence = Evidence(
            halves=(found,) * 4, null=(null,) * 4, recovered=(own,) * 4, purity=(), separation=(), n_cells=100
        )
        reason = reason or reason_of_evidence(AUTO, evidence)
    share = 1 / n_clusters
    return ResolutionFacts(
        resolution=resolution, sizes=(60,) * n_clusters, within=1 - 0.01 * n_clusters, expected=share,
        evidence=evidence, reason=reason, **more,
    )  # fmt: skip


SWEEP = [
    facts(0.1, 3, 0.95, next_alike=0.5),
    facts(0.25, 11, 0.81, next_alike=1.0),
    facts(0.4, 11, 0.92, next_alike=1.0),
    facts(0.63, 11, 0.9, next_alike=0.6),
    facts(1.0, 19, 0.62, next_alike=0.4),
    facts(1.6, 25, 0.3),
]


def test_the_finest_that_replicates_nearly_as_well_as_the_best_is_advised() -> None:
    found = advise("leiden", SWEEP)
    assert found.advised == 0.4  # the middle of those that are the same and are near the best of their plateau
    assert found.candidates == (0.1, 0.4, 1.0)  # at 1.6 nothing stands
    assert [one.plateau for one in found.resolutions] == [0, 1, 1, 1, 2, 3]
    assert [one.stands for one in found.resolutions] == [True] * 5 + [False]
    assert found.said == (
        "0.25 to 0.63: the same 11 clusters, replicability 0.92 at 0.4; "
        "above 0.63 the number rises to 25, and replicability falls to 0.30, at 1.6"
    )
    assert found.taken == found.candidates


def test_where_nothing_stands_nothing_is_advised_and_one_resolution_is_taken() -> None:
    found = advise("leiden", [facts(0.4, 4, 0.45, next_alike=0.2), facts(1.0, 9, 0.44)])
    assert (found.advised, found.candidates, found.taken) == (None, (), (0.4,))
    assert found.said == (
        "no partition stands; the likeliest is at 0.4: 4 clusters, replicability 0.45 (not replicable)"
    )
    alone = advise("leiden", [facts(0.1, 76, 0.0, next_alike=0.2), facts(1.0, 300, 0.0)])  # all cells alike
    assert alone.taken == (0.1,)


def test_halves_that_agree_on_fewer_clusters_do_not_speak_for_more() -> None:
    found = advise("leiden", [facts(0.4, 3, 1.0, next_alike=0.95), facts(1.25, 6, 0.95, recovered=0.6)])
    assert (found.advised, found.candidates) == (0.4, (0.4,))
    assert [one.measure for one in found.resolutions] == [1.0, 0.6]
    assert found.said == "0.4 to 1.25: much the same 3 to 6 clusters, replicability 1.00 at 0.4"


def test_a_plateau_of_several_numbers_says_so_and_ends_where_nothing_stands() -> None:
    found = advise("leiden", [facts(0.1, 4, 0.9, next_alike=0.95), facts(0.2, 6, 0.9, next_alike=0.95),
                              facts(0.3, 7, 0.2, next_alike=0.3), facts(1.0, 9, 0.5, null=0.45)])  # fmt: skip
    assert found.said == (
        "0.1 to 0.2: much the same 4 to 6 clusters, replicability 0.90 at 0.2; above 0.2 the number rises to 9, and "
        "replicability falls to 0.50, at 1"
    )
    same = advise("leiden", [facts(0.1, 6, 0.9, next_alike=0.1), facts(1.0, 6, 0.89, null=0.88)])
    assert same.said == (
        "0.1: 6 clusters, replicability 0.90; above 0.1 the number is still 6, and replicability is as high, at 1"
    )
    below = advise("leiden", [facts(1 / 3, 7, 0.9, next_alike=0.1), facts(1.0, 5, -0.004)])
    assert below.said == (
        "0.3333333333333333: 7 clusters, replicability 0.90; above 0.3333333333333333 the number falls to 5, and "
        "replicability falls to 0.00, at 1"
    )


def test_what_the_own_rules_refuse_is_no_candidate_with_or_without_evidence() -> None:
    refused = [replace(facts(0.2, 5, 0.99, next_alike=0.1), reason="children too small: 3 cells"),
               facts(1.0, 9, 0.8, next_alike=0.1),
               facts(2.0, 30, stability=0.99, reason="runs disagree: 0.3 (needs 0.7)")]  # fmt: skip
    found = advise("leiden", refused)
    assert (found.advised, found.candidates) == (1.0, (1.0,))
    assert [one.stands for one in found.resolutions] == [False, True, False]
    assert found.said == "1: 9 clusters, replicability 0.80"  # the stability of others says nothing beside it


def test_without_evidence_it_is_by_stability_and_without_both_nothing_is_advised() -> None:
    runs = [facts(0.2, 5, stability=0.97, next_alike=0.5), facts(1.0, 20, stability=0.5)]
    found = advise("leiden", runs)
    assert (found.advised, found.said) == (
        0.2, "0.2: 5 clusters, stability 0.97; above 0.2 the number rises to 20, and stability falls to 0.50, at 1",
    )  # fmt: skip
    assert [one.stands for one in found.resolutions] == [None, None]
    alone = advise("louvain", [facts(0.2, 5, next_alike=0.5), facts(1.0, 20)])
    assert (alone.advised, alone.candidates, alone.taken) == (None, (), (0.2,))
    assert "`evidence: true`" in alone.said
    assert advise("leiden", [facts(0.2, 1), facts(2.0, 1)]).said == ("one cluster at every resolution from 0.2 to 2")


def test_stability_is_not_set_beside_replicability() -> None:
    mixed = [facts(0.2, 5, 0.9, stability=0.8, next_alike=0.1), facts(1.0, 20, stability=0.99)]
    assert advise("leiden", mixed).candidates == (0.2,)


def test_at_most_four_candidates_the_advised_always_one() -> None:
    many = [facts(0.1 * at, 2 + at, 0.95 - 0.04 * at, next_alike=0.1) for at in range(1, 9)]
    found = advise("leiden", many)
    assert len(found.candidates) == 4
    assert found.advised in found.candidates
    assert found.candidates == tuple(sorted(found.candidates))


def test_it_goes_through_json() -> None:
    for partitions in (SWEEP, [facts(0.2, 1), facts(2.0, 1)]):
        found = advise("leiden", partitions)
        text = json.dumps(found.to_json(), allow_nan=False)
        assert Advice.from_json(json.loads(text)) == found
    with pytest.raises(WrongJson):
        Advice.from_json({"algorithm": "leiden"})
    with pytest.raises(WrongJson):
        Advice.from_json({**json.loads(text), "resolutions": [1]})
