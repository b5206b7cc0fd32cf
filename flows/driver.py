"""Recursion: submit what can run, the largest first, and the children of a split as soon as it is done.

No task waits for another, there is no barrier between levels, and nothing is submitted before it can
run. Clusters of at least `grain` cells are tasks of their own; smaller siblings go together, with all
that is below them. Who runs what is submitted, Prefect or plain threads, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cellstrata.flows.executors.executor import ClusterLost
from cellstrata.flows.monitor.progress import Counts
from cellstrata.flows.pieces import Piece, Ready, Waiting, WaitingRoom, name_of, packed
from cellstrata.flows.submission import Derive, Submit, Submitted, Tell, reason_of
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.cache.claims import Claims
from cellstrata.tasks.cache.known_entries import KnownEntries
from cellstrata.tasks.cache.recent_entries import listed_as
from cellstrata.tasks.trees.jobs import JobReport
from cellstrata.tasks.trees.judgement import Judgement
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.runs import next_runs
from cellstrata.tasks.trees.split import NodeSplit, first_nodes, split
from cellstrata.tasks.trees.split_evidence import judge, judge_whole, needs_evidence
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
    _ready: Ready = field(default_factory=Ready)
    _running: dict[Submitted, tuple[Piece, ...]] = field(default_factory=dict)
    _elsewhere: list[Piece] = field(default_factory=list)
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

        def run(future: Submitted, *pieces: Piece) -> None:
            self._running[future] = pieces
            future.add_done_callback(announce)

        for tree in trees:
            await asyncio.to_thread(self._open, tree, first_nodes(tree), None)
        with Claims(self.cache) as claims:
            while self._running or (
                (self._ready or self._elsewhere or self._waiting.splits) and len(failures) < GIVE_UP
            ):
                self._tell(idle=not (self._ready or self._running))
                found: list[Piece] = []
                if not self.refresh and not self.cache.store.is_local:  # where asking for each would take long
                    await asyncio.to_thread(self._look_ahead, claims)
                while self._ready and len(failures) < GIVE_UP and len(self._running) < self.at_once:
                    work = self._ready.pop()
                    if await asyncio.to_thread(self._begun, work):
                        continue
                    if await asyncio.to_thread(self._knows, work, claims):
                        found.append(work)
                        continue
                    future = await asyncio.to_thread(self._start, work, claims)
                    if future is None:
                        self._elsewhere.append(work)
                        continue
                    run(future, work)
                if found:
                    run(await asyncio.to_thread(self._fetch, found), *found)
                if not self._running and self._tell(idle=True):  # all that was ready is done elsewhere
                    continue
                future = await _next(finished, LOOK_AGAIN if self._elsewhere else None)
                for work in self._elsewhere:
                    self._ready.push(work)
                self._elsewhere.clear()
                if future is None:
                    continue
                pieces = self._running.pop(future)
                try:
                    if reason := await self._finish(pieces, future):
                        failures.append(f"{pieces[0].name}: {reason}")
                except ClusterLost as error:
                    failures += [str(error)] * GIVE_UP  # nothing else can be split either
                else:
                    done = claims.release if reason else claims.finish
                    for work in pieces:
                        if work.claimed and not work.runs_open:  # else it comes again when they are made
                            releases.append(asyncio.create_task(asyncio.to_thread(done, work.key)))
                self.on_progress(sum(tree.settled for tree in trees), self.counts)
            await asyncio.gather(*releases)
        if failures:
            raise SplitFailed("; ".join(dict.fromkeys(failures)))

    def _tell(self, *, idle: bool) -> bool:
        """Make a pass over the expression ready for the splits that wait for one, where it is time for it."""
        taken = self._waiting.take(idle=idle)
        if taken:
            name = f"{self.dataset} · markers of the children of {len(taken):,} split{'s'[: len(taken) != 1]}"
            nodes = tuple(each.node for each in taken)
            self._ready.push(Piece(taken[0].tree, nodes, False, name, taken[0].future, tells=taken))
        return bool(taken)

    def _start(self, work: Piece, claims: Claims) -> Submitted | None:
        """Submit a piece of work; None if another run is at it."""
        if work.embeds:
            assert self.derive is not None
            return self.derive(work.name, work.nodes)
        if work.tells:
            assert self.tell is not None
            return self.tell(work.name, [each.untold for each in work.tells])
        plan, key = work.tree.plan, work.key_in(self.cache)
        known, listed = self.refresh, None if claims.met else self._listing.entries()
        if not known and not work.claimed:
            if not claims.take(key):
                return None
            work.claimed = True
            known = self._listing.written_since(key, listed is not None, left=claims.left(key))
        absent = not known and not claims.met  # another run may have written it since
        passed = None
        if absent and listed is not None and work.recurse:
            passed = listed | set(map(listed_as, plan.entries_of_all_cells))
        job = replace(work.job(self.cache, refresh=self.refresh), looked_up=absent, listed=passed)
        return self.submit(work.name, [job], [work.parent] if work.parent else [])

    def _look_ahead(self, claims: Claims) -> None:
        """Read at once what the cache has of pieces that are ready."""
        keys = [work.key_in(self.cache) for work in self._ready.not_yet_looked_up()]
        self.cache.look_ahead(key for key in keys if claims.met or self._listing.may_have(key))

    def _knows(self, work: Piece, claims: Claims) -> bool:
        """Tell whether the cache has what comes of a piece of work."""
        if self.refresh or work.by_itself:
            return False
        key = work.key_in(self.cache)
        return (claims.met or self._listing.may_have(key)) and self.cache.read_record(key) is not None

    def _fetch(self, found: Sequence[Piece]) -> Submitted:
        """Submit pieces of work that the cache has, as one."""
        first, cells = found[0], sum(work.n_cells for work in found)
        many = f"{self.dataset} · {len(found):,} pieces from the cache · {cells:,} cells"
        parents = dict.fromkeys(work.parent for work in found if work.parent is not None)
        return self.submit(many if found[1:] else first.name, [work.job(self.cache) for work in found], list(parents))

    async def _finish(self, pieces: Sequence[Piece], future: Submitted) -> str:
        """Take what came of pieces of work; returns why one failed, or nothing. Raises ClusterLost."""
        work = pieces[0]
        self._waiting.away = self._waiting.away and not work.tells
        if (failure := await future.failure()) is not None:
            return reason_of(failure)
        try:
            result = await asyncio.to_thread(future.result)
            if work.embeds:
                self._embedded(work, result)
            elif work.tells:
                self._listing.saw(result)
                await asyncio.to_thread(self._take_told, work)
            else:
                reports = [JobReport.from_json(said) for said in result]
                taken = [await self._take_report(*each, future) for each in zip(pieces, reports, strict=True)]
                return next(filter(None, taken), "")
        except Exception as error:
            return str(error)
        return ""

    async def _take_report(self, work: Piece, report: JobReport, future: Submitted) -> str:
        """Take what came of a job; returns why that failed, or nothing."""
        try:
            if report.more_runs:
                self._open_runs(work, more=True)
            elif work.evidence_for is not None:
                self._listing.saw([work.key])
                await asyncio.to_thread(self._take_evidence, work, future)
            elif work.joins is not None:
                self._listing.saw([work.key])
                self._made(work.joins)
            else:
                await asyncio.to_thread(self._take, work, future, () if future.from_cache else report.executed)
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
            name = f"{name_of(self.dataset, tree, members)} · embedding"
            self._ready.push(Piece(tree, members, False, name, parent, embeds=True))
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
            self._ready.push(Piece(tree, members, recurse, name_of(self.dataset, tree, members), parent))

    def _embedded(self, work: Piece, found: Sequence[OwnEmbedding | NoEmbedding]) -> None:
        """Take the embeddings that were derived for some nodes: these are ready to be split, the others stay whole."""
        below: list[Node] = []
        for node, own in zip(work.nodes, found, strict=True):
            if isinstance(own, NoEmbedding):
                below += work.tree.leave(node, own)
                continue
            ready = replace(node, own=own)
            self._ready.push(Piece(work.tree, (ready,), False, name_of(self.dataset, work.tree, (ready,)), work.parent))
        self._open(work.tree, below, work.parent)

    def _begun(self, work: Piece) -> bool:
        """Begin with an ensemble's runs, where they are pieces of work; False where there is nothing to begin."""
        if work.recurse or work.by_itself or work.evidence_for is not None:
            return False
        if not next_runs(work.nodes[0], work.runs_made):
            return False
        there = not work.runs_made and not self.refresh and self.cache.read_record(work.key_in(self.cache)) is not None
        if not there:
            self._open_runs(work)
        return not there

    def _open_runs(self, work: Piece, *, more: bool = False) -> None:
        runs = next_runs(work.nodes[0], work.runs_made, more=more)
        work.runs_open = len(runs)
        for run in runs:
            name = f"{work.name} · run {(run.run or 0) + 1}"
            self._ready.push(Piece(work.tree, (run,), False, name, work.parent, joins=work))

    def _made(self, ensemble: Piece) -> None:
        """Take one of an ensemble's runs; after the last of those that were begun it is joined."""
        ensemble.runs_made, ensemble.runs_open = ensemble.runs_made + 1, ensemble.runs_open - 1
        if not ensemble.runs_open:
            self._ready.push(ensemble)

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
                self._ready.push(
                    Piece(tree, (pending,), False, name, future, evidence_for=found, held=held, made=computed)
                )
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
