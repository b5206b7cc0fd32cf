"""Prefect's result caching over our own cache: one truth, no pickles.

A task's key is the key of the node it computes. Prefect asks its result storage for that key; the
block here answers from the cache itself: it reads the node's record, checks it and the arrays that
it names, and only then hands Prefect a JSON result. A record that is missing, damaged or foreign
reads as absent, so Prefect computes again. Workers have written a record before Prefect comes to
write it; writing here only makes sure that it is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.cache_policies import CachePolicy
from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem
from prefect.serializers import JSONSerializer
from prefect.settings import PREFECT_API_URL
from pydantic import Field, PrivateAttr

from cellstrata.flows.run import current_run
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.parallel import at_once
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees.entries import intact
from cellstrata.tasks.trees.jobs import JobReport

ATTEMPTS = 5
_saving = threading.Lock()


class NodeKey(CachePolicy):
    """The key that the flow has already computed from content and parameters, as the task's own.

    An exception in a policy would silently switch caching off, so nothing here can raise.
    """

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return the task's parameter `key`, and note it in the task run, where Prefect shows a cache key."""
        key = inputs.get("key")
        if not isinstance(key, str):
            return None
        with contextlib.suppress(Exception):
            task_ctx.task_run.cache_key = key
        return key


class CellstrataCache(WritableFileSystem):
    """A cache of cellstrata as result storage: the URL alone, credentials come from the environment."""

    _block_type_name: ClassVar[str] = "cellstrata cache"
    _block_type_slug: ClassVar[str] = "cellstrata-cache"

    url: str = Field(description="Where the cache lies: a folder or any fsspec URL.")

    behind: str = Field("", description="A second cache that is only read, empty for none.")

    _of_run: Cache | None = PrivateAttr(None)

    _together: dict[str, list[str]] = PrivateAttr(default_factory=dict)

    def cache(self) -> Cache:
        """Return the cache of the run that made this block, or open it with the credentials of the run around."""
        if self._of_run is not None:
            return self._of_run
        run = current_run()
        options = run.config.storage_options if run is not None else {}
        return Cache(Store.at(self.url, options), Store.at(self.behind, options) if self.behind else None)

    def read_path(self, path: str, **_: object) -> bytes:  # type: ignore[override]
        """Return Prefect's result record of a key.

        Raises
        ------
        KeyError
            If the cache has no intact entry of that key.
        """
        cache = self.cache()
        reports = []
        for record in at_once(cache.store, partial(intact, cache), self._together.get(path, [path])):
            if record is None:
                raise KeyError(path)
            reports.append(JobReport.of_cached(record).to_json())
        return _envelope(path, reports)

    def hold_together(self, path: str, keys: Sequence[str]) -> None:
        """Answer to a key with the entries of several; it is known to this block alone."""
        self._together[path] = list(keys)

    def write_path(self, path: str, content: bytes, **_: object) -> None:  # type: ignore[override]
        """Write nothing: whoever computed the entry has committed it, and an exception is no result."""

    async def aread_path(self, path: str) -> bytes:
        """The same for Prefect's asynchronous calls."""
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """The same for Prefect's asynchronous calls."""
        self.write_path(path, content)


def cache_block(cache: Cache, saved: dict[str, Any]) -> CellstrataCache:
    """Make the block of a run's cache and save it, as Prefect demands of a result storage.

    Call it within a flow. Its name is made from the URL, so that runs over different caches do not
    overwrite one another's. `saved` has the ids of documents that the run has saved, by server and name.
    """
    url, behind = cache.store.url, cache.behind.url if cache.behind else ""
    block = CellstrataCache(url=url, behind=behind)
    block._of_run = cache
    name = f"cellstrata-{hashlib.blake2b(f'{url} {behind}'.encode(), digest_size=4).hexdigest()}"
    place = f"{PREFECT_API_URL.value()} {name}"
    with _saving:  # datasets that start together would all register the block's type
        if place in saved:  # a write for each of many datasets keeps SQLite busy
            block._block_document_id, block._block_document_name = saved[place], name
            return block
        for again in reversed(range(ATTEMPTS)):
            try:
                saved[place] = block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
                break
            except ObjectAlreadyExists:  # another run on the same server has just registered it
                if not again:
                    raise
    return block


def _envelope(key: str, result: Sequence[Mapping[str, object]]) -> bytes:
    """Wrap plain values as Prefect's result record; its serializer is ours to say, and is JSON."""
    serializer = JSONSerializer(jsonlib="json")
    metadata = ResultRecordMetadata(storage_key=key, serializer=serializer)
    record: ResultRecord[Any] = ResultRecord(metadata=metadata, result=json.loads(json.dumps(result)))
    return record.serialize()
