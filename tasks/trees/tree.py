"""The tree as it grows: nodes are opened (split or left whole) and closed with their children.

The flow and the workers grow trees with the same two functions, the flow task by task, a worker all
that is below its small clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.ids import TreeIds
from cellstrata.tasks.trees.judgement import NOTHING, Judgement
from cellstrata.tasks.trees.labels import Path, label_of
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.plan import LAST_LEVEL, ONE_COMMUNITY, EmbeddingChoice, SplitSpec, TreePlan

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Node:
    """A set of cells: ascending row numbers, (n,) int32. `digest` is that of their rows in the
    embedding with which they will be split, None where it is not known yet. `attempt` counts those to split it
    that do not stand."""

    path: Path
    rows: Rows
    digest: str | None = None
    attempt: int = 0


@dataclass(frozen=True)
class Pending:
    """A node that is to be split, and how. `run` is the number of an ensemble's run, where it is one of those.

    `own` is the embedding that was derived from its cells, where it is to be split on such a one.
    """

    node: Node
    spec: SplitSpec
    run: int | None = None
    own: OwnEmbedding | None = None

    @property
    def path(self) -> Path:
        """The path of the node."""
        return self.node.path

    @property
    def n_cells(self) -> int:
        """The number of its cells."""
        return len(self.node.rows)

    @property
    def waits(self) -> bool:
        """Whether its own embedding is yet to be derived."""
        return self.own is None and self.spec.neighbors.embedding.own is not None


@dataclass(frozen=True)
class Outcome:
    """What became of one cluster. `reason` says why it has no children of its own, None if it was
    split; `spec`, `key` and `facts` are those of the split, None where none was tried; `judged` is what else is
    known of it, and says why it does not stand where it was tried and refused. `own` is the embedding that was derived
    for it, or that there is none."""

    path: Path
    n_cells: int
    reason: str | None
    spec: SplitSpec | None = None
    key: str | None = None
    facts: SplitFacts | None = None
    executed: bool = False
    judged: Judgement = NOTHING
    own: OwnEmbedding | NoEmbedding | None = None

    @property
    def n_children(self) -> int:
        """The clusters that were made of it: one where it was left whole, or its split does not stand."""
        return len(self.facts.sizes) if self.facts is not None and self.reason is None else 1


@dataclass(frozen=True)
class Given:
    """A partition that is taken as it is, and whose clusters are split: the obs column, its level in
    the tree, its clusters, and their labels by their paths."""

    column: str
    level: int
    labels: Mapping[Path, str]
    nodes: Sequence[Node]


@dataclass
class Tree:
    """The outcomes of one tree so far, and the leaf of each cell.

    `codes` is (n,) int32, the index in `leaves` of each cell, -1 where not yet reached; `settled` counts
    cells times levels that are done, n times the depth in the end; `settled_at` the cells that are, by level. `tried`
    are attempts at clusters that did not stand, where others followed; `deepest` is the last level that has clusters of
    its own so far. `ids` are those after an earlier result, None where clusters are numbered by size.
    """

    plan: TreePlan
    given: Given | None = None
    outcomes: dict[Path, Outcome] = field(default_factory=dict)
    leaves: list[Path] = field(default_factory=list)
    settled: int = 0
    settled_at: Counter[int] = field(default_factory=Counter)
    tried: dict[Path, list[Outcome]] = field(default_factory=dict)
    deepest: int = 1
    ids: TreeIds | None = None
    codes: npt.NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.codes = np.full(self.plan.n_cells, -1, np.int32)
        if self.given is not None:
            without_label = self.plan.n_cells - sum(len(node.rows) for node in self.given.nodes)
            below = self.plan.depth - self.given.level
            self.settled = self.plan.n_cells * self.given.level + without_label * below

    @property
    def levels(self) -> range:
        """The levels that this tree makes."""
        return range(self.given.level + 1 if self.given else 1, self.plan.depth + 1)

    @property
    def level(self) -> int:
        """The last level of which every cluster is settled, 0 before the first."""
        cells = sum(len(node.rows) for node in self.given.nodes) if self.given else self.plan.n_cells
        open_levels = (level for level in self.levels if self.settled_at[level] < cells)
        found = next(open_levels, self.plan.depth + 1) - 1
        return min(found, self.deepest) if self.plan.hierarchy.until_stable else found

    def numbered(self, path: Path) -> Path:
        """Return the numbers of a cluster's id: those of its path, unless ids follow an earlier result."""
        return path if self.ids is None else self.ids.numbers.get(path, path)

    def label(self, path: Path) -> str:
        """Return a cluster's label: below a given one that one's, and its own numbers."""
        if self.given is None or len(path) < self.given.level:
            return label_of(self.numbered(path))
        parent, own = path[: self.given.level], self.numbered(path)[self.given.level :]
        return "_".join([self.given.labels[parent], *map(str, own)])

    def parent_label(self, path: Path) -> str:
        """Return the label of a cluster's parent, empty at level 1 and where a given label does not tell."""
        above = self.given is not None and len(path) <= self.given.level and self.label(path) != label_of(path)
        return "" if len(path) < 2 or above else self.label(path[:-1])

    def made_by(self, path: Path) -> tuple[Outcome, int] | None:
        """Return the split that made a cluster, and its number there; None for the root, and without such a split.

        A cluster that was left whole was made by the last split above it.
        """
        while path:
            above = self.outcomes.get(path[:-1])
            if above is not None and above.facts is not None and above.reason is None:
                return above, path[-1]
            path = path[:-1]
        return None

    def stability(self, path: Path) -> float | None:
        """Return how far the runs of the split that made a cluster have it, 0 to 1; None for a single run.

        A cluster that was left whole has what the last split above it found, which may be that it is one community.
        """
        while path:
            above = self.outcomes.get(path[:-1])
            if above is not None and above.facts is not None and above.judged.reason is None:
                return None if above.facts.stability is None else above.facts.stability[path[-1]]
            path = path[:-1]
        return None

    def n_parts(self, path: Path) -> int:
        """Return into how many parts the cells of a cluster were split last, whether that stands or not; 1 if not."""
        facts = self.outcomes[path].facts
        return 1 if facts is None else len(facts.sizes)

    def root(self, digest: str | None) -> Node:
        """Return the root: all cells."""
        return Node((), np.arange(self.plan.n_cells, dtype=np.int32), digest)

    def open(self, node: Node) -> Pending | None:
        """Follow a node down while it is left whole; return it where it is to be split, or None
        when it has become a leaf of the last level."""
        while True:
            decision = self._decision(node)
            if isinstance(decision, SplitSpec) and len(node.rows):
                return Pending(node, decision)
            reason = decision if isinstance(decision, str) else "no cells"
            if reason == LAST_LEVEL or not len(node.rows):
                if node.path:
                    self.outcomes[node.path] = Outcome(node.path, len(node.rows), reason)
                    self.codes[node.rows] = len(self.leaves)
                    self.leaves.append(node.path)
                return None
            self._settle(Outcome(node.path, len(node.rows), reason))
            node = Node((*node.path, 0), node.rows, node.digest)  # the next split to be tried is the same

    def leave(self, pending: Pending, found: NoEmbedding) -> list[Node]:
        """Leave a cluster whole that has no embedding of its own; returns its one child, to be opened."""
        self._settle(Outcome(pending.path, pending.n_cells, found.reason, own=found))
        return [Node((*pending.path, 0), pending.node.rows)]

    def close(
        self,
        pending: Pending,
        key: str,
        facts: SplitFacts,
        labels: npt.NDArray[np.int32],
        *,
        executed: bool,
        judged: Judgement = NOTHING,
    ) -> list[Node]:
        """Record a split and return its children, to be opened; one, of all cells, where it does not stand."""
        sizes = facts.sizes
        reason = (facts.note or ONE_COMMUNITY) if len(sizes) < 2 else judged.reason
        own = pending.own
        outcome = Outcome(pending.path, pending.n_cells, reason, pending.spec, key, facts, executed, judged, own)
        if reason is not None and pending.node.attempt + 1 < len(self.plan.attempts):
            self.tried.setdefault(pending.path, []).append(outcome)
            return [replace(pending.node, attempt=pending.node.attempt + 1)]
        if reason is not None:
            outcome = max([*self.tried.get(pending.path, ()), outcome], key=_how_near)
        self._settle(outcome)
        if reason is not None and len(sizes) > 1:
            return [self._child((*pending.path, 0), pending.node.rows, pending.node.digest, pending.spec)]
        order = np.argsort(labels, kind="stable")
        parts = np.split(pending.node.rows[order], np.cumsum(sizes)[:-1])
        digests = facts.children or [None] * len(sizes)
        return [
            self._child((*pending.path, number), rows, digest, pending.spec)
            for number, (rows, digest) in enumerate(zip(parts, digests, strict=True))
        ]

    def learn(self, path: Path, judged: Judgement) -> None:
        """Take what has become known of a split that is recorded, and that stands or not as before."""
        self.outcomes[path] = replace(self.outcomes[path], judged=judged)

    def ended(self) -> Tree:
        """Return the tree with as many levels as it came to, where no number of them was asked for."""
        if not self.plan.hierarchy.until_stable:
            return self
        depth = self.deepest
        hierarchy = replace(self.plan.hierarchy, depth=depth, deepest_blanket=depth)
        cut = Tree(replace(self.plan, hierarchy=hierarchy), self.given)
        cut.outcomes = {path: outcome for path, outcome in self.outcomes.items() if len(path) <= depth}
        cut.leaves = [leaf[:depth] for leaf in self.leaves]
        cut.codes = self.codes
        cut.settled = self.plan.n_cells * depth
        return cut

    def _decision(self, node: Node) -> SplitSpec | str:
        decision = self.plan.decide(node.path, len(node.rows), node.attempt)
        above = self.outcomes.get(node.path[:-1]) if node.path else None
        asked = isinstance(decision, SplitSpec) and self.plan.hierarchy.until_stable
        if asked and above is not None and above.reason is not None:
            return above.reason  # the same cells in the same way
        return decision

    def _child(self, path: Path, rows: Rows, digest: str | None, spec: SplitSpec) -> Node:
        following = self._next_embedding(path, len(rows))
        known = following is None or (following.own is None and following == spec.neighbors.embedding)
        return Node(path, rows, digest if known else None)

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.path] = outcome
        self.settled += outcome.n_cells
        self.settled_at[len(outcome.path) + 1] += outcome.n_cells
        if outcome.reason is None:
            self.deepest = max(self.deepest, len(outcome.path) + 1)

    def _next_embedding(self, path: Path, n_cells: int) -> EmbeddingChoice | None:
        """The embedding of the next split that will be tried at or below `path`, None without one."""
        while len(path) < self.plan.depth:
            decision = self.plan.decide(path, n_cells)
            if isinstance(decision, SplitSpec):
                return decision.neighbors.embedding
            path = (*path, 0)
        return None


def _how_near(outcome: Outcome) -> tuple[float, int]:
    """How far an attempt came, by which of several the first of the best is told."""
    evidence, markers = outcome.judged.evidence, outcome.judged.markers
    return evidence.replicability if evidence is not None else -1.0, markers.mutual if markers is not None else -1
