"""When splits that wait for a pass over the expression go."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellstrata.flows.pieces import Waiting, WaitingRoom
from cellstrata.tasks.trees.split import root_node, split
from cellstrata.tasks.trees.tree import Node, Pending, Tree
from tests.tasks.small import blobs, cache_at, plan_for


def test_a_pass_begins_when_it_pays_or_when_nothing_else_is_left(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    tree = Tree(plan_for(cache, blobs([60, 40])[0], 2))
    root = tree.open(root_node(tree.plan))
    assert root is not None
    found = split(tree.plan, root, cache)

    def waiting(n: int) -> Waiting:
        return Waiting(tree, Pending(Node((0,), np.arange(n, dtype=np.int32)), root.spec), found, None, made=True)

    room = WaitingRoom()
    assert room.take(idle=True) == ()
    room.splits.append(waiting(60))
    assert room.take(idle=False) == ()  # others of its level may come
    room.splits.append(waiting(40))
    assert [each.node.n_cells for each in room.take(idle=False)] == [60, 40]
    room.splits.append(waiting(100))
    assert room.take(idle=True) == ()  # a pass is on its way
    room.away = False
    room.splits.append(waiting(5))
    assert len(room.take(idle=True)) == 2
    assert room.away
    assert not room.splits
