"""What is advised of resolutions of which all is known, and in which words."""

from __future__ import annotations

import json

import pytest

from cellstrata.configs.evidence import AUTO
from cellstrata.tasks.advice.advice import Advice, advise
from cellstrata.tasks.advice.resolution_facts import ResolutionFacts
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.stores.json_values import WrongJson


def facts(
    resolution: float, n_clusters: int, found: float | None = None, null: float = 0.1, **more: float | None
) -> ResolutionFacts:
    """A partition into equal clusters; `found` and `null` are its evidence."""
    evidence = None
    if found is not None:
        evidence = Evidence(halves=(found,) * 4, null=(null,) * 4, purity=(), separation=(), n_cells=100)
    share = 1 / n_clusters
    return ResolutionFacts(
        resolution=resolution, sizes=(60,) * n_clusters, within=1 - 0.01 * n_clusters, expected=share,
        evidence=evidence, **more,
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
    found = advise("leiden", SWEEP, AUTO)
    assert found.advised == 0.4  # the middle of those that are the same and are near the best of their plateau
    assert found.candidates == (0.1, 0.4, 1.0)  # at 1.6 nothing stands
    assert [one.plateau for one in found.resolutions] == [0, 1, 1, 1, 2, 3]
    assert [one.stands for one in found.resolutions] == [True] * 5 + [False]
    assert found.said == (
        "0.25 to 0.63: the same 11 clusters, replicability 0.92; "
        "above 0.63 the number rises to 25, and replicability falls to 0.30"
    )
    assert found.taken == found.candidates


def test_nothing_stands() -> None:
    found = advise("leiden", [facts(0.4, 4, 0.45, next_alike=0.2), facts(1.0, 9, 0.2)], AUTO)
    assert (found.advised, found.candidates) == (0.4, (0.4, 1.0))
    assert found.said == (
        "no partition passes the rules; the likeliest is at 0.4: 4 clusters, replicability 0.45; "
        "above 0.4 the number rises to 9, and replicability falls to 0.20"
    )


def test_a_plateau_of_several_numbers_says_so_and_one_as_good_above_it() -> None:
    found = advise("leiden", [facts(0.1, 4, 0.9, next_alike=0.95), facts(0.2, 6, 0.9, next_alike=0.3),
                              facts(1.0, 9, 0.5, null=0.45)], AUTO)  # fmt: skip
    assert found.said.startswith("0.1 to 0.2: much the same 4 to 6 clusters, replicability 0.90 at 0.2; above 0.2")
    same = advise("leiden", [facts(0.1, 6, 0.9, next_alike=0.1), facts(1.0, 6, 0.89, null=0.88)], AUTO)
    assert same.said == "0.1: 6 clusters, replicability 0.90; above 0.1 the number is 6, and replicability stays so"


def test_without_evidence_it_is_by_stability_and_without_both_nothing_is_advised() -> None:
    runs = [facts(0.2, 5, stability=0.97, next_alike=0.5), facts(1.0, 20, stability=0.5)]
    found = advise("leiden", runs, AUTO)
    assert (found.advised, found.said) == (
        0.2, "0.2: 5 clusters, stability 0.97; above 0.2 the number rises to 20, and stability falls to 0.50",
    )  # fmt: skip
    assert [one.stands for one in found.resolutions] == [None, None]
    alone = advise("louvain", [facts(0.2, 5, next_alike=0.5), facts(1.0, 20)], AUTO)
    assert (alone.advised, alone.candidates, alone.taken) == (None, (), (0.2,))
    assert "`evidence: true`" in alone.said
    assert advise("leiden", [facts(0.2, 1), facts(2.0, 1)], AUTO).said == (
        "one cluster at every resolution from 0.2 to 2"
    )


def test_stability_is_not_set_beside_replicability() -> None:
    mixed = [facts(0.2, 5, 0.9, stability=0.8, next_alike=0.1), facts(1.0, 20, stability=0.99)]
    assert advise("leiden", mixed, AUTO).candidates == (0.2,)


def test_at_most_four_candidates_the_advised_always_one() -> None:
    many = [facts(0.1 * at, 2 + at, 0.95 - 0.04 * at, next_alike=0.1) for at in range(1, 9)]
    found = advise("leiden", many, AUTO)
    assert len(found.candidates) == 4
    assert found.advised in found.candidates
    assert found.candidates == tuple(sorted(found.candidates))


def test_it_goes_through_json() -> None:
    for partitions in (SWEEP, [facts(0.2, 1), facts(2.0, 1)]):
        found = advise("leiden", partitions, AUTO)
        text = json.dumps(found.to_json(), allow_nan=False)
        assert Advice.from_json(json.loads(text)) == found
    with pytest.raises(WrongJson):
        Advice.from_json({"algorithm": "leiden"})
    with pytest.raises(WrongJson):
        Advice.from_json({**json.loads(text), "resolutions": [1]})
