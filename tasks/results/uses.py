"""Notes in a cache which dataset uses which of its entries, when its result has been published."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache_care.uses import DATASETS
from cellstrata.tasks.stores.digest import canonical_json, digest_values
from cellstrata.tasks.trees.root_graph import neighbors_key

if TYPE_CHECKING:
    from cellstrata.tasks.results.result import Finished


def note_use(cache: Cache, name: str, finished: Finished) -> None:
    """Note what the published result of the dataset called `name` is made of; never fails."""
    outcomes = [outcome for tree in finished.trees for outcome in tree.outcomes.values()]
    keys = {key for outcome in outcomes for key in (outcome.key, outcome.judged.evidence_key) if key}
    if finished.graph:
        keys |= {finished.graph, neighbors_key(cache, finished.graph)}
    batches = [batch.codes for tree in finished.trees for batch in tree.plan.batches]
    refs = [*finished.source.embeddings.values(), finished.pca, finished.umap, *batches]
    output = finished.source.output
    note = {
        "name": name,
        "output": output,
        "keys": sorted(keys),
        "arrays": sorted({ref.digest for ref in refs if ref is not None}),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with contextlib.suppress(Exception):  # the result stands; the cache may be only readable
        path = f"{DATASETS}/{digest_values(kind='dataset', name=name, output=output)}.json"
        cache.store.write(path, canonical_json(note))
