"""What Prefect shows of a dataset beside its task runs: how far it is, and at the end a table, a link and figures.

All of it is best effort: nothing here fails or holds up a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import (
    Artifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import PrefectClient, get_client

from cellstrata.flows.monitor.progress import Progress, ProgressFeed
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.results.result import Published
from cellstrata.tasks.stores.store import is_local, local_path
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.tree import Outcome, Tree

EVERY = 4.0  # seconds between two updates
PATIENCE = 5.0  # seconds for all that is told at the end
_NOT_IN_KEYS = re.compile(r"[^a-z0-9]+")
# The record of the figures is a file that others may have changed.
_DRAWN = re.compile(r"data:image/[a-z]+;base64,[A-Za-z0-9+/]+=*")
_MARKUP = re.compile(r"[\\`\[\]<>&]")
_CREDENTIALS = re.compile(r"//[^/@]*@")


class LiveArtifacts:
    """Shows a dataset's progress while the block lasts; `tell` says at the end what came of it."""

    def __init__(self, dataset: str, feed: ProgressFeed) -> None:
        self.dataset = dataset
        self._feed = feed
        self._now: Progress | None = None
        self._task: asyncio.Task[None] | None = None
        self._client: PrefectClient | None = None
        self._opened = contextlib.AsyncExitStack()
        self._shown: tuple[Any, float] | None = None

    async def __aenter__(self) -> LiveArtifacts:
        self._opened.enter_context(self._feed.shown_by(self._note))
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._opened.aclose()

    def _note(self, progress: Progress) -> None:
        if progress.dataset == self.dataset:
            self._now = progress

    async def _follow(self) -> None:
        """Update what is shown, from the newest state and never more often than every few seconds."""
        while True:
            await asyncio.sleep(EVERY)
            with contextlib.suppress(Exception):
                await self._show()

    async def _show(self, finished: bool = False) -> None:
        now = self._now
        share = 100.0 if finished else 0.0 if now is None else 100.0 * now.settled / max(now.total, 1)
        client = await self._opened_client()
        if self._shown is None:
            artifact = ProgressArtifact(
                key=artifact_key(self.dataset, "progress"), progress=share, description=plain_text(self.dataset)
            )
            self._shown = ((await artifact.acreate(client=client)).id, share)
        elif share != self._shown[1]:
            await aupdate_progress_artifact(self._shown[0], share, client=client)
            self._shown = (self._shown[0], share)

    async def _opened_client(self) -> PrefectClient:
        if self._client is None:
            self._client = await self._opened.enter_async_context(get_client())
        return self._client

    async def tell(
        self,
        rows: list[dict[str, object]],
        links: Mapping[str, str],
        images: Mapping[str, str],
        advice: Sequence[Advice] = (),
    ) -> None:
        """Show a table of the columns, where results are, images (`data:` URLs by title), a table of resolutions."""
        if self._task is not None:
            self._task.cancel()
        name_of = plain_text(self.dataset)  # a description is Markdown
        tables = [("columns", rows, f"Columns of {name_of}")] if rows else []
        if advice:
            said = "; ".join(f"{one.algorithm}: {one.said}" for one in advice)
            tables.append(("resolutions", advice_rows(advice), f"Resolutions of {name_of}: {plain_text(said)}"))
        artifacts: list[Artifact] = [
            TableArtifact(key=artifact_key(self.dataset, name), table=table, description=about)
            for name, table, about in tables
        ]
        artifacts += [
            LinkArtifact(
                key=artifact_key(self.dataset, name),
                link=visitable(url),
                link_text=readable_place(url),  # in full: a browser follows no link from a server to a file
                description=f"Where the {name} of {name_of} {'are' if name.endswith('s') else 'is'}",
            )
            for name, url in links.items()
        ]
        images = {title: image for title, image in images.items() if _DRAWN.fullmatch(image)}
        if images:  # in markdown: of an image artifact Prefect would print the whole `data:` URL below it
            text = "\n\n".join(
                f"### {plain_text(title)}\n\n![{plain_text(title)}]({image})" for title, image in images.items()
            )
            shown = f"Key figures of {name_of}"
            artifacts.append(
                MarkdownArtifact(key=artifact_key(self.dataset, "key figures"), markdown=text, description=shown)
            )

        async def send() -> None:
            client = await self._opened_client()
            await asyncio.gather(self._show(finished=True), *(each.acreate(client=client) for each in artifacts))

        with contextlib.suppress(Exception):
            await asyncio.wait_for(send(), PATIENCE)


def artifact_key(dataset: str, what: str) -> str:
    """Return a key as Prefect allows it: lower-case letters, digits and dashes."""
    return _NOT_IN_KEYS.sub("-", f"{dataset} {what}".lower()).strip("-")


def plain_text(text: str) -> str:
    """Return a text of which Markdown makes no HTML, link, image or code, on one line: names may hold anything.

    CommonMark 0.31, 2.4: a backslash before punctuation takes its meaning away, that of `<` and `&` too.
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def visitable(url: str) -> str:
    """Return a URL for people to follow, without credentials or a signature."""
    return local_path(url).as_uri() if is_local(url) else readable_place(url)


def readable_place(url: str) -> str:
    """Return a path, or a URL without credentials or a signature, as people write it."""
    return str(local_path(url)) if is_local(url) else _CREDENTIALS.sub("//", url).partition("?")[0]


def column_rows(published: Published, trees: Sequence[Tree]) -> list[dict[str, object]]:
    """Return a row for each column: clusters, level 1's modularity, splits, their seconds, how many were cached.

    Where splits were judged, also the mean replicability of the splits that stand, and how many do not.
    """
    judged = [outcome.judged for tree in trees for outcome in tree.outcomes.values()]
    told = any(one.evidence is not None or one.markers is not None for one in judged)
    rows: list[dict[str, object]] = []
    for tree in trees:
        for level in tree.levels:
            name = column_name(tree.plan.algorithm, tree.plan.resolution, level)
            splits = [o for path, o in tree.outcomes.items() if len(path) == level - 1 and o.spec is not None]
            modularity = published.modularity.get(name)
            rows.append(
                {
                    "column": name,
                    "clusters": published.clusters[name],
                    "modularity": None if modularity is None else round(modularity, 4),
                    "splits": len(splits),
                    "seconds": round(sum(o.facts.seconds for o in splits if o.facts), 2),
                    "cached": sum(not o.executed for o in splits),
                    **(_evidence(splits) if told else {}),
                }
            )
    return rows


def advice_rows(advice: Sequence[Advice]) -> list[dict[str, object]]:
    """Return a row for each resolution of each algorithm: its clusters, what is known of them, if it is advised."""
    return [
        {
            "algorithm": one.algorithm,
            "resolution": row.resolution,
            "clusters": row.n_clusters,
            "replicability": _rounded(row.replicability),
            "of a cloud": _rounded(row.expected),
            "stability": _rounded(row.stability),
            "stands": row.stands,
            "advised": one.verdict(row),
        }
        for one in advice
        for row in one.resolutions
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _evidence(splits: Sequence[Outcome]) -> dict[str, object]:
    stand = [o.judged.evidence.replicability for o in splits if o.reason is None and o.judged.evidence is not None]
    refused = sum(o.judged.reason is not None for o in splits)
    return {"replicability": round(sum(stand) / len(stand), 3) if stand else None, "do not stand": refused}
