"""What is made of draws, and what rules make of that."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats

from cellstrata.configs.evidence import AUTO, NEVER, EvidenceConfig, StopRules
from cellstrata.tasks.evidence.batches import batch_spread
from cellstrata.tasks.evidence.evidence import LEAST_SPREAD, Evidence, evidence_for, exceeds
from cellstrata.tasks.evidence.halves import Floats, Labels
from cellstrata.tasks.evidence.stop import reason_at_once, reason_of_evidence, reason_of_markers
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.markers.child_markers import TellingGenes
from cellstrata.tasks.stores.json_values import WrongJson


def of(halves: tuple[float, ...], null: tuple[float, ...] = ()) -> Evidence:
    return Evidence(halves=halves, null=null, recovered=halves, purity=(), separation=(), n_cells=100)


def clustered(points: Floats, seed: int) -> Labels:
    graph = connectivities(nearest_neighbors(points, 15))
    return partition(graph, PartitionSpec("leiden", 0.5, seed=seed), load_engine("igraph")).labels


def evidence_of(points: Floats, seed: int = 0) -> Evidence:
    graph, labels = connectivities(nearest_neighbors(points, 15)), clustered(points, seed)
    return evidence_for(
        points, graph, labels, clustered, EvidenceConfig(halves=3, null=3), n_voters=15, metric="euclidean", seed=seed
    )


def planted(apart: float) -> Floats:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(900, 10))
    points[:, 0] += apart * (np.arange(900) % 3 == 1)
    points[:, 1] += apart * (np.arange(900) % 3 == 2)
    return points.astype(np.float32)


def test_p_is_that_of_students_t() -> None:
    one, other = (0.5, 0.6, 0.8, 0.7), (0.1, 0.2, 0.15)
    expected = scipy.stats.ttest_ind(one, other, alternative="greater").pvalue
    assert exceeds(one, other) == pytest.approx(expected, rel=1e-9)
    assert of(one, other).p == pytest.approx(expected, rel=1e-9)


def test_draws_that_happen_to_be_equal_are_not_certain() -> None:
    assert exceeds((1.0, 1.0), (1.0, 1.0)) == 0.5
    nearly = exceeds((LEAST_SPREAD, LEAST_SPREAD), (0.0, 0.0))
    assert nearly == pytest.approx(scipy.stats.t.sf(1.0, 2))


def test_excess_is_a_share_of_what_clouds_leave() -> None:
    assert of((0.8, 0.6), (0.4, 0.4)).excess == pytest.approx(0.5)
    assert of((0.8,)).excess is None
    assert of((0.8,)).expected is None
    assert of((0.8,), (0.1,)).p is None  # of one draw the spread is not known


def test_groups_have_it_and_a_cloud_has_not() -> None:
    groups, cloud = evidence_of(planted(6.0)), evidence_of(planted(0.0))
    assert reason_of_evidence(AUTO, groups) is None
    assert groups.replicability > 0.9
    assert min(groups.purity) > 0.9
    assert 5 < min(groups.separation) <= max(groups.separation) < 9
    assert str(reason_of_evidence(AUTO, cloud)).startswith("not replicable: ")


def test_the_same_again_and_from_json() -> None:
    found = evidence_of(planted(4.0))
    assert evidence_of(planted(4.0)) == found
    assert evidence_of(planted(4.0), seed=1).halves != found.halves
    assert Evidence.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(WrongJson, match="n_cells"):
        Evidence.from_json({"halves": [0.1]})


def test_reasons_by_evidence() -> None:
    assert reason_of_evidence(StopRules(replicability=0.3), of((0.04,))) == "not replicable: 0.04 (needs 0.3)"
    assert reason_of_evidence(StopRules(replicability=0.3), of((0.3,))) is None
    excess = reason_of_evidence(StopRules(excess=0.4), of((0.6, 0.6), (0.5, 0.5)))
    assert excess == "hardly above a cloud without groups: replicability 0.60, 0.50 of clouds, excess 0.20 (needs 0.4)"
    p = reason_of_evidence(StopRules(p=0.01), of((0.6, 0.1), (0.5, 0.0)))
    assert p is not None
    assert p.startswith("not surely above a cloud without groups: replicability 0.35, 0.25 of clouds, p 0.4")
    assert reason_of_evidence(StopRules(p=0.01), of((0.6,), (0.0,))) is None  # not known
    assert reason_of_evidence(NEVER, of((0.0,))) is None


def test_reasons_by_markers() -> None:
    told = TellingGenes((12, 2), 2)
    assert reason_of_markers(StopRules(min_markers=5), told) == "too few markers: 2 in the second child (needs 5)"
    assert reason_of_markers(StopRules(min_markers=2, log_fold_change=0.5), told) is None
    three = reason_of_markers(StopRules(min_markers=5), TellingGenes((12, 0, 0), 2))
    assert three == "too few markers: 2 tell 3 children apart (needs 5)"
    assert reason_of_markers(NEVER, TellingGenes((), 0)) is None
    assert not StopRules(min_markers=0).asks_markers
    assert [StopRules(min_markers=n).ends_trees for n in (0, 5)] == [False, True]
    assert [StopRules(min_markers=1).fold_change, StopRules(min_markers=1, log_fold_change=0).fold_change] == [1, 0]


def test_reasons_at_once() -> None:
    sizes = [500, 40, 3]
    assert reason_at_once(StopRules(min_children_cells=40), sizes, None, ()) is None  # of two children, not of all
    found = reason_at_once(StopRules(min_children_cells=41), sizes, None, ())
    assert found == "children too small: 40 cells in the second (needs 41)"
    assert reason_at_once(StopRules(agreement=0.5), sizes, 0.25, ()) == "runs disagree: 0.25 (needs 0.5)"
    assert reason_at_once(StopRules(agreement=0.5), sizes, None, ()) is None  # a single run
    donors = [batch_spread(np.repeat(np.arange(n, dtype=np.int32), 20), 4) for n in (4, 2, 1)]
    rules = StopRules(min_donors=3)
    assert reason_at_once(rules, sizes, None, donors) == "too few donors: 2 in the second child (needs 3)"
    assert reason_at_once(StopRules(min_donors=2), sizes, None, donors) is None
    assert reason_at_once(rules, sizes, None, ()) is None
