"""Recursion: submit what can run, the largest first, and the children of a split as soon as it is done.

No task waits for another, there is no barrier between levels, and nothing is submitted before it can
run. Clusters of at least `grain` cells are tasks of their own; smaller siblings go together, with all
that is below them. Who runs what is submitted, Prefect or plain threads, is not known here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cellstrata.flows.executors.executor import ClusterLost
from cellstrata.flows.monitor.progress import Counts
from cellstrata.flows.pieces import Piece, Waiting, WaitingRoom, packed
from cellstrata.flows.submission import Derive, Submit, Submitted, Tell
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.cache.claims import Claims
from cellstrata.tasks.cache.known_entries import KnownEntries
from cellstrata.tasks.cache.recent_entries import listed_as
from cellstrata.tasks.trees.jobs import Job, JobReport, bundle_key
from cellstrata.tasks.trees.judgement import Judgement
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.runs import next_runs
from cellstrata.tasks.trees.split import NodeSplit, first_nodes, node_key, split
from cellstrata.tasks.trees.split_evidence import evidence_key, judge, judge_whole, needs_evidence
from cellstrata.tasks.trees.tree import Node, Pending, Tree

LOOK_AGAIN = 0.3  # seconds, at what another run is computing
GIVE_UP = 3  # failures of one dataset; more of them have one cause, as a full disk


class SplitFailed(RuntimeError):
    """A cluster could not be split; the message names it, its size and why."""


@dataclass
class Driver:
    """Grows the trees of one dataset. `submit` has a job done, over the run's cache.

    `derive` submits what derives an embedding of its own for each of some nodes of a plan, in their order; `tell` what
    finds the genes that tell the children of some splits apart.
    """

    dataset: str
    cache: Cache
    submit: Submit
    grain: int
    at_once: int
    refresh: bool = False
    on_progress: Callable[[int, Counts], None] = lambda settled, counts: None
    counts: Counts = field(default_factory=Counts)
    derive: Derive | None = None
    tell: Tell | None = None
    _ready: list[tuple[int, int, Piece]] = field(default_factory=list)
    _running: dict[Submitted, Piece] = field(default_factory=dict)
    _elsewhere: list[Piece] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)
    _waiting: WaitingRoom = field(default_factory=WaitingRoom)

    def __post_init__(self) -> None:
        self._listing = KnownEntries.of(self.cache)

    async def grow(self, trees: Sequence[Tree]) -> None:
        """Grow all trees to their leaves.

        Raises
        ------
        SplitFailed
            If a cluster cannot be split. The others are split all the same, so they are kept, unless
            more than a few fail.
        """
        loop, finished = asyncio.get_running_loop(), asyncio.Queue[Submitted]()
        failures: list[str] = []
        releases: list[asyncio.Task[None]] = []

        def announce(done: Submitted) -> None:
            loop.call_soon_threadsafe(finished.put_nowait, done)

        for tree in trees:
            await asyncio.to_thread(self._open, tree, first_nodes(tree), None)
        with Claims(self.cache) as claims:
            while self._running or (self._goes_on() and len(failures) < GIVE_UP):
                self._tell(idle=not (self._ready or self._running))
                while self._ready and len(failures) < GIVE_UP and len(self._running) < self.at_once:
                    work = heapq.heappop(self._ready)[-1]
                    if await asyncio.to_thread(self._begun, work):
                        continue
                    future = await asyncio.to_thread(self._start, work, claims)
                    if future is None:
                        self._elsewhere.append(work)
                        continue
                    self._running[future] = work
                    future.add_done_callback(announce)
                if not self._running and self._tell(idle=True):  # all that was ready is done elsewhere
                    continue
                future = await _next(finished, LOOK_AGAIN if self._elsewhere else None)
                for work in self._elsewhere:
                    self._push(work)
                self._elsewhere.clear()
                if future is None:
                    continue
                work = self._running.pop(future)
                try:
                    if reason := await self._finish(work, future):
                        failures.append(f"{work.name}: {reason}")
                except ClusterLost as error:
                    failures += [str(error)] * GIVE_UP  # nothing else can be split either
                else:
                    if work.runs_open:
                        continue  # it comes again when they are made
                    if work.claimed:
                        done = claims.release if reason else claims.finish
                        releases.append(asyncio.create_task(asyncio.to_thread(done, work.key)))
                self.on_progress(sum(tree.settled for tree in trees), self.counts)
            await asyncio.gather(*releases)
        if failures:
            raise SplitFailed("; ".join(dict.fromkeys(failures)))

    def _goes_on(self) -> bool:
        return bool(self._ready or self._elsewhere or self._waiting.splits)

    def _tell(self, *, idle: bool) -> bool:
        """Make a pass over the expression ready for the splits that wait for one, where it is time for it."""
        taken = self._waiting.take(idle=idle)
        if taken:
            name = f"{self.dataset} · markers of the children of {len(taken):,} split{'s'[: len(taken) != 1]}"
            nodes = tuple(each.node for each in taken)
            self._push(Piece(taken[0].tree, nodes, False, name, taken[0].future, tells=taken))
        return bool(taken)

    def _start(self, work: Piece, claims: Claims) -> Submitted | None:
        """Submit a piece of work; None if another run is at it."""
        if work.embeds:
            assert self.derive is not None
            return self.derive(work.name, work.nodes)
        if work.tells:
            assert self.tell is not None
            return self.tell(work.name, [each.untold for each in work.tells])
        plan, key = work.tree.plan, self._key(work)
        known, listed = self.refresh, None if claims.met else self._listing.entries()
        if not known and (listed is None or listed_as(key) in listed):
            known = self.cache.read_record(key) is not None
        if not known and not work.claimed:
            if not claims.take(key):
                return None
            work.claimed = True
            known = self._written_since(key, listed is not None, left=claims.left(key))
        absent = not known and not claims.met  # another run may have written it since
        passed = None
        if absent and listed is not None and work.recurse:
            passed = listed | set(map(listed_as, plan.entries_of_all_cells))
        job = Job(
            key=key, plan=plan, nodes=work.nodes, cache=self.cache, recurse=work.recurse, refresh=self.refresh,
            looked_up=absent, listed=passed, runs_made=work.runs_made or None,
            evidence=work.evidence_for is not None,
        )  # fmt: skip
        return self.submit(work.name, job, work.parent)

    def _key(self, work: Piece) -> str:
        if not work.key:
            plan, node = work.tree.plan, work.nodes[0]
            if work.evidence_for is not None:
                work.key = evidence_key(plan, node, work.evidence_for)
            elif work.recurse:
                work.key = bundle_key(plan, work.nodes, self.cache)
            else:
                work.key = node_key(plan, node, self.cache)
        return work.key

    def _written_since(self, key: str, listed: bool, *, left: bool) -> bool:
        """Tell whether another has ended with a cluster since our look at the cache; `left`: it had claimed it."""
        if listed and not left:
            return self._listing.has(key)
        look = left or self.cache.store.is_local
        return look and Cache(self.cache.store, self.cache.behind).read_record(key) is not None

    async def _finish(self, work: Piece, future: Submitted) -> str:
        """Take what came of a piece of work; returns why it failed, or nothing. Raises ClusterLost."""
        self._waiting.away = self._waiting.away and not work.tells
        if (failure := await future.failure()) is not None:
            return _reason(failure)
        try:
            if work.embeds:
                self._embedded(work, await asyncio.to_thread(future.result))
                return ""
            if work.tells:
                self._listing.saw(await asyncio.to_thread(future.result))
                await asyncio.to_thread(self._take_told, work)
                return ""
            report = JobReport.from_json(future.result())
            from_cache = future.from_cache
            if report.more_runs:
                self._open_runs(work, more=True)
            elif work.evidence_for is not None:
                self._listing.saw([work.key])
                await asyncio.to_thread(self._take_evidence, work, future)
            elif work.joins is not None:
                self._listing.saw([work.key])
                self._made(work.joins)
            else:
                await asyncio.to_thread(self._take, work, future, () if from_cache else report.executed)
        except Exception as error:
            return str(error)
        return ""

    def _open(self, tree: Tree, nodes: Sequence[Node], parent: Submitted | None) -> None:
        """Make ready what is to be split among these siblings."""
        pending = [opened for node in nodes if (opened := tree.open(node)) is not None]
        pending.sort(key=lambda node: (-node.n_cells, node.path))
        waiting = [node for node in pending if node.waits]
        for own in dict.fromkeys(node.spec.neighbors.embedding.own for node in waiting):
            members = tuple(node for node in waiting if node.spec.neighbors.embedding.own == own)
            name = f"{self._name(tree, members)} · embedding"
            self._push(Piece(tree, members, False, name, parent, embeds=True))
        pending = [node for node in pending if not node.waits]
        work: list[tuple[tuple[Pending, ...], bool]] = []
        alone = 0 if tree.plan.reads_expression else self.grain  # below one there are others that wait for it
        for node in pending:
            if node.n_cells >= alone:
                work.append(((node,), False))
        for group in packed([node for node in pending if node.n_cells < alone], self.grain):
            is_last = tree.plan.depth == len(group[0].path) + 1
            work.append((group, len(group) > 1 or not is_last))
        for members, recurse in work:
            self._push(Piece(tree, members, recurse, self._name(tree, members), parent))

    def _embedded(self, work: Piece, found: Sequence[OwnEmbedding | NoEmbedding]) -> None:
        """Take the embeddings that were derived for some nodes: these are ready to be split, the others stay whole."""
        below: list[Node] = []
        for node, own in zip(work.nodes, found, strict=True):
            if isinstance(own, NoEmbedding):
                below += work.tree.leave(node, own)
                continue
            ready = replace(node, own=own)
            self._push(Piece(work.tree, (ready,), False, self._name(work.tree, (ready,)), work.parent))
        self._open(work.tree, below, work.parent)

    def _begun(self, work: Piece) -> bool:
        """Begin with an ensemble's runs, where they are pieces of work; False where there is nothing to begin."""
        if work.recurse or work.by_itself or work.evidence_for is not None:
            return False
        if not next_runs(work.nodes[0], work.runs_made):
            return False
        there = not work.runs_made and not self.refresh and self.cache.read_record(self._key(work)) is not None
        if not there:
            self._open_runs(work)
        return not there

    def _open_runs(self, work: Piece, *, more: bool = False) -> None:
        runs = next_runs(work.nodes[0], work.runs_made, more=more)
        work.runs_open = len(runs)
        for run in runs:
            name = f"{work.name} · run {(run.run or 0) + 1}"
            self._push(Piece(work.tree, (run,), False, name, work.parent, joins=work))

    def _made(self, ensemble: Piece) -> None:
        """Take one of an ensemble's runs; after the last of those that were begun it is joined."""
        ensemble.runs_made, ensemble.runs_open = ensemble.runs_made + 1, ensemble.runs_open - 1
        if not ensemble.runs_open:
            self._push(ensemble)

    def _push(self, work: Piece) -> None:
        heapq.heappush(self._ready, (-work.n_cells, next(self._order), work))

    def _name(self, tree: Tree, nodes: Sequence[Pending]) -> str:
        first, cells = tree.label(nodes[0].path), sum(node.n_cells for node in nodes)
        what = first if len(nodes) == 1 else f"{first} and {len(nodes) - 1} more"
        again = nodes[0].node.attempt if len(nodes) == 1 else 0
        how = f" · resolution {nodes[0].spec.partition.resolution:g}" if again else ""
        return f"{self.dataset} · {tree.plan.name} · {what}{how} · {cells:,} cells"

    def _take(self, work: Piece, future: Submitted, executed: Sequence[str]) -> None:
        """Take a finished task's splits into the tree."""
        tree, made = work.tree, set(executed)
        waiting = list(work.nodes)
        if work.recurse and (bundle := self.cache.read_record(work.key)) is not None:
            self._listing.saw([work.key])
            self.cache.look_ahead([*bundle.body["splits"], *bundle.body.get("evidence", ())])
        while waiting:
            pending = waiting.pop()
            found = split(tree.plan, pending, self.cache)
            self._listing.saw([found.key])
            computed = found.computed or found.key in made
            made.discard(found.key)  # the same cells again, further down, are found and not computed
            self.counts.executed += computed
            self.counts.cached += not computed
            if work.recurse:
                judged, _ = judge_whole(tree.plan, pending, found, self.cache)  # gathered again, if it has gone since
                children = self._close(tree, pending, found, judged, executed=computed)
                waiting.extend(opened for child in children if (opened := tree.open(child)))
                continue
            judged = judge(tree.plan, pending, found, self.cache, anew=self.refresh, markers_anew=self.refresh)
            if needs_evidence(tree.plan, found, judged):
                held = judged.wanted or judged.untold or judged.reason is not None  # an attempt may follow
                name = f"{work.name} · evidence"
                self._push(Piece(tree, (pending,), False, name, future, evidence_for=found, held=held, made=computed))
                if held:
                    continue
            if judged.untold:
                self._waiting.splits.append(Waiting(tree, pending, found, future, computed))
                continue
            self._open(tree, self._close(tree, pending, found, judged, executed=computed), future)

    def _take_evidence(self, work: Piece, future: Submitted) -> None:
        """Take the evidence for a split: its children have waited for it, or it is noted beside them."""
        tree, pending, found = work.tree, work.nodes[0], work.evidence_for
        assert found is not None
        judged, _ = judge_whole(tree.plan, pending, found, self.cache, markers_anew=work.held and self.refresh)
        if work.held and judged.untold:
            self._waiting.splits.append(Waiting(tree, pending, found, future, work.made))
        elif work.held:
            self._open(tree, self._close(tree, pending, found, judged, executed=work.made), future)
        else:
            tree.learn(pending.path, judged)

    def _take_told(self, work: Piece) -> None:
        """Take what genes tell of the splits that waited. Raises DamagedEntry if that is gone."""
        for each in work.tells:
            judged, _ = judge_whole(each.tree.plan, each.node, each.found, self.cache)
            if judged.untold:
                raise DamagedEntry(f"markers of children are gone from {self.cache.store.url} since they were found")
            children = self._close(each.tree, each.node, each.found, judged, executed=each.made)
            self._open(each.tree, children, each.future)

    def _close(
        self, tree: Tree, pending: Pending, found: NodeSplit, judged: Judgement, *, executed: bool
    ) -> list[Node]:
        labels = found.labels(self.cache)
        return tree.close(pending, found.key, found.facts, labels, executed=executed, judged=judged)


async def _next(queue: asyncio.Queue[Submitted], timeout: float | None) -> Submitted | None:
    """Return the next finished task, None if there is none in time."""
    try:
        return await asyncio.wait_for(queue.get(), timeout)
    except TimeoutError:
        return None


def _reason(failure: BaseException | str) -> str:
    if isinstance(failure, ClusterLost):
        raise failure
    return failure if isinstance(failure, str) else f"{type(failure).__name__}: {failure}"
