"""Notes in a cache which dataset uses which of its entries, when its result has been published."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.cache_care.uses import DATASETS
from cellstrata.tasks.stores.digest import canonical_json, digest_values
from cellstrata.tasks.trees.root_graph import neighbors_key

if TYPE_CHECKING:
    from cellstrata.tasks.results.result import Finished
    from cellstrata.tasks.trees.tree import Outcome


def note_use(cache: Cache, name: str, finished: Finished, *further: str) -> None:
    """Note what the published result of the dataset called `name` is made of, and `further` entries; never fails."""
    with contextlib.suppress(Exception):  # the result stands; the cache may be only readable
        output, refs = finished.source.output, _arrays(finished)
        note = {
            "name": name,
            "output": output,
            "keys": sorted({*_keys(cache, finished), *further}),
            "arrays": sorted({ref.digest for ref in refs if ref is not None}),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        path = f"{DATASETS}/{digest_values(kind='dataset', name=name, output=output)}.json"
        cache.store.write(path, canonical_json(note))


def _keys(cache: Cache, finished: Finished) -> set[str]:
    """The entries: splits, their evidence, markers and embeddings, level 1's graph, and the neighbours of graphs."""
    outcomes = [(tree.plan, outcome) for tree in finished.trees for outcome in tree.outcomes.values()]
    keys = {key for _, outcome in outcomes for key in _of(outcome) if key}
    keys |= {outcome.own.key for _, outcome in outcomes if outcome.own is not None}
    if finished.graph:
        keys |= {finished.graph, neighbors_key(cache, finished.graph)}
    split = [(plan, outcome.spec, outcome.n_cells) for plan, outcome in outcomes if outcome.spec is not None]
    served = (plan.lists_for(spec.neighbors, n_cells) for plan, spec, n_cells in split)
    return keys | {lists.key for lists in served if lists is not None}


def _of(outcome: Outcome) -> tuple[str | None, ...]:
    return outcome.key, outcome.judged.evidence_key, outcome.judged.markers_key


def _arrays(finished: Finished) -> list[ArrayRef | None]:
    batches = [batch.codes for tree in finished.trees for batch in tree.plan.batches]
    return [*finished.source.embeddings.values(), finished.pca, finished.umap, *batches]
