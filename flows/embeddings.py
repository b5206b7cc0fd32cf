"""The step that writes embeddings of clusters' own beside the result."""

from __future__ import annotations

import asyncio

from prefect import get_run_logger

from cellstrata.flows.run import Run
from cellstrata.flows.steps import run_step
from cellstrata.tasks.branches.embeddings_zarr import (
    EmbeddingsRequest,
    cluster_embeddings,
    remove_embeddings,
    write_embeddings,
)
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.results.result import Finished, Published


async def embeddings_beside(run: Run, finished: Finished, published: Published, cache: Cache) -> str | None:
    """Write the embeddings of clusters beside the result, where they are asked for; returns their URL.

    Where they are not, those of an earlier run do not stay beside it.
    """
    source = finished.source
    if not run.config.DATASETS[source.dataset].clustering.publish_embeddings:
        if await asyncio.to_thread(remove_embeddings, source.opened, published.output):
            get_run_logger().warning("%s: embeddings.zarr is not asked for any more, and is removed", source.name)
        return None
    found = await asyncio.to_thread(cluster_embeddings, finished.trees)
    request = EmbeddingsRequest(
        source=source.opened, output=published.output, publish_key=published.key, found=found
    )  # fmt: skip
    url: str | None = await run_step(f"{source.name} · embeddings", "here", write_embeddings, request, cache)
    return url
