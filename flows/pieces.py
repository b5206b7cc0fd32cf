"""Pieces of work of a tree that grows, and the splits that wait for a pass over the input's expression."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from cellstrata.flows.submission import Submitted
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.trees.jobs import Job, bundle_key
from cellstrata.tasks.trees.split import NodeSplit, node_key
from cellstrata.tasks.trees.split_evidence import evidence_key
from cellstrata.tasks.trees.split_markers import UntoldSplit
from cellstrata.tasks.trees.tree import Pending, Tree


@dataclass
class Waiting:
    """A split of `node` that stands or not by the genes that tell its children apart, which are yet to be found.

    `future` is what made it, and `made` whether that was this run.
    """

    tree: Tree
    node: Pending
    found: NodeSplit
    future: Submitted
    made: bool

    @property
    def untold(self) -> UntoldSplit:
        """What a pass over the expression is asked."""
        return UntoldSplit.of(self.tree.plan, self.node, self.found)


@dataclass
class Piece:
    """A piece of work: nodes to be split, or one of the other things that splits need."""

    tree: Tree
    nodes: tuple[Pending, ...]
    recurse: bool
    name: str
    parent: Submitted | None = None
    key: str = ""
    claimed: bool = False
    joins: Piece | None = None  # the ensemble of which this is a run
    evidence_for: NodeSplit | None = None  # the split of its node
    held: bool = False  # the children of that split wait for what comes of it
    made: bool = False  # that split was computed by this run
    runs_made: int = 0
    runs_open: int = 0
    embeds: bool = False  # embeddings of their own are derived for the nodes, which are split then
    tells: tuple[Waiting, ...] = ()  # splits whose children are told apart by genes; the nodes are theirs

    @property
    def n_cells(self) -> int:
        """The cells of its nodes."""
        return sum(node.n_cells for node in self.nodes)

    def key_in(self, cache: Cache) -> str:
        """Return the key of what comes of it; not for what is by itself."""
        if not self.key:
            plan, node = self.tree.plan, self.nodes[0]
            if self.evidence_for is not None:
                self.key = evidence_key(plan, node, self.evidence_for)
            elif self.recurse:
                self.key = bundle_key(plan, self.nodes, cache)
            else:
                self.key = node_key(plan, node, cache)
        return self.key

    def job(self, cache: Cache, *, refresh: bool = False) -> Job:
        """Return what is to be done; not of what is by itself."""
        return Job(
            key=self.key_in(cache), plan=self.tree.plan, nodes=self.nodes, cache=cache, recurse=self.recurse,
            refresh=refresh, runs_made=self.runs_made or None, evidence=self.evidence_for is not None,
        )  # fmt: skip

    @property
    def by_itself(self) -> bool:
        """Whether it is no split, and the cache is looked into elsewhere."""
        return self.embeds or bool(self.tells)


class Ready:
    """Pieces of work that can begin, the largest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Piece]] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, work: Piece) -> None:
        """Add a piece."""
        heapq.heappush(self._heap, (-work.n_cells, next(self._order), work))

    def pop(self) -> Piece:
        """Take the largest, of equals the one that came first."""
        return heapq.heappop(self._heap)[-1]

    def not_yet_looked_up(self) -> list[Piece]:
        """Return those that nobody has asked the cache for; they stay where they are."""
        return [work for *_, work in self._heap if not work.key and not work.by_itself]


@dataclass
class WaitingRoom:
    """Splits that wait for a pass over the expression; they go together, so that the file is read seldom.

    A pass begins when those that wait have as many cells as the file, as all clusters of a level have, or when nothing
    else is left to do; one at a time. What comes of a split does not depend on who goes with it.
    """

    splits: list[Waiting] = field(default_factory=list)
    away: bool = False  # a pass is on its way

    def take(self, *, idle: bool) -> tuple[Waiting, ...]:
        """Return the splits for which a pass is to begin now, none where they still wait."""
        cells = sum(split.node.n_cells for split in self.splits)
        if self.away or not self.splits or not (idle or cells >= self.splits[0].tree.plan.n_cells):
            return ()
        taken, self.splits, self.away = tuple(self.splits), [], True
        return taken


def packed(nodes: Sequence[Pending], grain: int) -> list[tuple[Pending, ...]]:
    """Put small siblings together until each group has about `grain` cells."""
    groups: list[tuple[Pending, ...]] = []
    group: list[Pending] = []
    for node in nodes:
        group.append(node)
        if sum(member.n_cells for member in group) >= grain:
            groups.append(tuple(group))
            group = []
    return [*groups, tuple(group)] if group else groups


def name_of(dataset: str, tree: Tree, nodes: Sequence[Pending]) -> str:
    """Return what a piece of work is called that splits these nodes."""
    first, cells = tree.label(nodes[0].path), sum(node.n_cells for node in nodes)
    what = first if len(nodes) == 1 else f"{first} and {len(nodes) - 1} more"
    again = nodes[0].node.attempt if len(nodes) == 1 else 0
    how = f" · resolution {nodes[0].spec.partition.resolution:g}" if again else ""
    return f"{dataset} · {tree.plan.name} · {what}{how} · {cells:,} cells"
