"""Markers of children as entries of the cache: the same however values are stored, found once, of no other file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellstrata.configs.expression import ExpressionConfig
from cellstrata.tasks.branches import child_markers as module
from cellstrata.tasks.branches.child_markers import ValuesRequest, name_values, tell_children
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements.opening import InputError, Opened
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import root_node, split
from cellstrata.tasks.trees.split_markers import KIND, UntoldSplit, find_markers
from cellstrata.tasks.trees.tree import Pending, Tree
from tests.tasks.small import blobs, cache_at, plan_for
from tests.tasks.small_expression import counts, logs, written

CELLS, OF = blobs([120, 100, 80])
VALUES = counts()[0]
for _group in range(3):
    VALUES[np.ix_(_group == OF, np.arange(5 * _group, 5 * _group + 5))] += 10


def request_at(path: str, **asked: Any) -> ValuesRequest:
    return ValuesRequest(source=Opened.at(Place(path)), asked=ExpressionConfig(**asked))


def planned(cache: Cache, request: ValuesRequest, resolution: float = 1.0) -> tuple[TreePlan, Pending, UntoldSplit]:
    """A tree of 300 cells, the split of which found three groups or more, and what it asks of the expression."""
    plan = plan_for(cache, CELLS, 2, resolution=resolution)
    plan = replace(plan, expression=name_values(request, cache))
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    return plan, pending, UntoldSplit.of(plan, pending, split(plan, pending, cache))


def arrays_of(cache: Cache, key: str) -> dict[str, Any]:
    record = cache.find(key, KIND)
    assert record is not None
    return {name: cache.array(record, name) for name in record.arrays()}


@pytest.mark.parametrize(("form", "kind"), [("h5ad", "csc"), ("zarr3", "csr"), ("h5ad", "columns")])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_same_however_values_are_stored(
    tmp_path: Path, form: str, kind: str, normalize: bool, monkeypatch: Any
) -> None:
    found = []
    for number, (of, stored) in enumerate([("h5ad", "csr"), (form, kind)]):
        (tmp_path / str(number)).mkdir()
        values = VALUES if normalize else logs(VALUES)
        request = request_at(written(tmp_path / str(number), values, of, stored), normalize=normalize)
        cache = cache_at(tmp_path / f"cache {number}")
        splits = [planned(cache, request, resolution)[2] for resolution in (0.1, 3.0)]
        if number:
            monkeypatch.setattr(module, "MOST_NUMBERS", 1)  # a pass for each
        keys = tell_children(request, [*splits, splits[0]], cache)
        assert len(keys) == 2
        found.append([arrays_of(cache, key) for key in keys])
    for one, other in zip(*found, strict=True):
        assert len(one["log_fold_changes"])
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_found_again_without_reading(tmp_path: Path, monkeypatch: Any) -> None:
    request, cache = request_at(written(tmp_path, logs(VALUES), "h5ad", "csr")), cache_at(tmp_path / "cache")
    plan, pending, untold = planned(cache, request)
    assert find_markers(plan, pending, untold.split, cache) is None
    tell_children(request, [untold], cache)
    there = find_markers(plan, pending, untold.split, cache)
    assert there is not None
    assert there[0].sizes == untold.split.facts.sizes
    monkeypatch.setattr(module, "Logs", lambda *_, **__: pytest.fail("values were read again"))
    assert tell_children(request, [untold], cache) == [untold.key]


def test_nothing_is_kept_of_a_file_that_changes_meanwhile(tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, logs(VALUES), "h5ad", "csr")
    request, cache = request_at(path), cache_at(tmp_path / "cache")
    _, _, untold = planned(cache, request)
    whole = module.moments_of_parts

    def changed(*arguments: Any) -> Any:
        Path(path).touch()
        return whole(*arguments)

    monkeypatch.setattr(module, "moments_of_parts", changed)
    with pytest.raises(InputError, match="has changed"):
        tell_children(request, [untold], cache)
    assert cache.find(untold.key, KIND) is None


def test_the_key_names_values_cells_and_labels_and_no_bound(tmp_path: Path) -> None:
    request, cache = request_at(written(tmp_path, logs(VALUES), "h5ad", "csr")), cache_at(tmp_path / "cache")
    plan, pending, untold = planned(cache, request)
    assert planned(cache, request, 3.0)[2].key != untold.key
    others = replace(plan, expression="other values"), replace(plan, min_cells=9)
    keys = [UntoldSplit.of(other, pending, untold.split).key for other in others]
    assert keys[0] != untold.key
    assert keys[1] == untold.key
    fewer = replace(pending, node=replace(pending.node, rows=pending.node.rows[1:]))
    assert UntoldSplit.of(plan, fewer, untold.split).key != untold.key
