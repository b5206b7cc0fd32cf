"""The stability of cells and clusters in a result's columns, against the splits that made them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellstrata.tasks.cache.cache import DamagedEntry
from cellstrata.tasks.results.provenance import column_facts, tree_table
from cellstrata.tasks.results.stability import cell_stability
from cellstrata.tasks.trees.plan import TreePlan
from tests.tasks.small import cache_at, grow, plan_for

CLOUD = np.random.default_rng(5).normal(size=(700, 4)).astype(np.float32)  # no two runs agree on it


def of(plan: TreePlan, number: int) -> TreePlan:
    return replace(plan, partition=replace(plan.partition, ensemble=number))


def test_each_cell_has_what_the_last_split_above_it_found(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    grown = grow(of(plan_for(cache, CLOUD, 3, resolution=1.0, min_cells=40), 3), cache)
    found = cell_stability((grown.tree,), cache)
    assert list(found) == ["leiden_1.0_1", "leiden_1.0_2", "leiden_1.0_3"]
    splits = {pending.path: pending for pending in grown.pending}
    whole = split_and_whole = 0
    for path, outcome in grown.tree.outcomes.items():
        if len(path) == 3:
            continue
        rows, level = grown.rows(path), len(path)
        here = found[f"leiden_1.0_{level + 1}"][rows]
        assert here.dtype == np.float32
        if outcome.facts is None:
            whole += 1
            assert np.array_equal(here, found[f"leiden_1.0_{level}"][rows])
            continue
        split_and_whole += 1
        record = cache.read_record(outcome.key or "")
        assert record is not None
        assert np.array_equal(splits[path].node.rows, rows)
        assert np.array_equal(here, cache.array(record, "stability"))
    assert whole
    assert split_and_whole > 3


def test_the_tree_has_the_stability_of_each_cluster(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    grown = grow(of(plan_for(cache, CLOUD, 3, resolution=1.0, min_cells=40), 3), cache)
    table = tree_table([grown.tree]).set_index(["level", "cluster"])
    root = grown.tree.outcomes[()]
    assert root.facts is not None
    assert root.facts.stability is not None
    assert list(table.loc[1]["stability"]) == pytest.approx(root.facts.stability)
    assert np.isnan(table.loc[(0, "all"), "stability"])
    assert (table.loc[(0, "all"), "runs"], table.loc[(0, "all"), "agreement"]) == (3, root.facts.agreement)
    assert table.loc[(0, "all"), "cores"] == ", ".join(map(str, root.facts.cores or ()))
    whole = [path for path, outcome in grown.tree.outcomes.items() if len(path) in (1, 2) and outcome.facts is None]
    assert whole
    for path in whole:  # what was left whole is as stable as it was above
        above = table.loc[(len(path), "_".join(map(str, path))), "stability"]
        assert table.loc[(len(path) + 1, "_".join(map(str, (*path, 0)))), "stability"] == above
        assert table.loc[(len(path), "_".join(map(str, path))), "runs"] == 0
    facts = column_facts([grown.tree])
    assert [facts[name].ensemble for name in facts] == [3, 3, 3]
    assert [facts[name].agreement for name in facts] == [root.facts.agreement, None, None]


def test_single_runs_have_none_and_mixed_levels_some(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    single = grow(plan_for(cache, CLOUD, 2, resolution=1.0), cache)
    assert cell_stability((single.tree,), cache) == {}
    louvain = grow(of(plan_for(cache, CLOUD, 2, algorithm="louvain", resolution=1.0), 3), cache)
    assert cell_stability((louvain.tree,), cache) == {}
    assert set(tree_table([louvain.tree]).query("key != ''")["runs"]) == {1}
    assert column_facts([louvain.tree])["louvain_1.0_1"].ensemble == 1
    asked = {"levels": {1: {"ensemble": 2}, 2: {"ensemble": 1}}}
    mixed = grow(plan_for(cache, CLOUD, asked, resolution=1.0), cache)
    found = cell_stability((single.tree, mixed.tree), cache)
    assert not np.isnan(found["leiden_1.0_1"]).any()
    tried = np.concatenate([mixed.rows(path) for path, o in mixed.tree.outcomes.items() if len(path) == 1 and o.facts])
    assert np.isnan(found["leiden_1.0_2"][tried]).all()


def test_a_split_that_is_gone_is_named(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    grown = grow(of(plan_for(cache, CLOUD, 1, resolution=1.0), 2), cache)
    with pytest.raises(DamagedEntry, match="is gone since the run began"):
        cell_stability((grown.tree,), cache_at(tmp_path / "empty"))
