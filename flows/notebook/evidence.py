"""`cs.tl.evidence`: what speaks for the splits of clusters that an AnnData has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellstrata.flows.notebook.arguments import OF_FILES, run_config
from cellstrata.flows.notebook.memory_run import finished_trees
from cellstrata.tasks.elements.in_memory import NAME, in_memory_copy
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.results.adata_evidence import with_evidence
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import annotations_of
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import anndata as ad

TOLD = ("columns", "advice", "publish_key")  # entries of the record that change with evidence, beside the tree


def evidence(
    adata: ad.AnnData,
    halves: int = 4,
    null: int = 4,
    *,
    batch_keys: str | Sequence[str] | None = None,
    key: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> ad.AnnData | None:
    """Gather evidence for every split of clusters that are there: do halves of the cells find them again?

    The splits are taken from the cache, or computed again as they were recorded. Their labels stay as they are.
    `cs.tl.cluster(adata, evidence=True)` does both at once.

    Parameters
    ----------
    adata
        Clustered by `cs.tl.cluster`, or a result of `cellstrata run` that was read.
    halves
        How often the cells of a split are halved, and the halves clustered apart.
    null
        How many clouds without groups are treated the same.
    batch_keys
        Columns of obs, as donors or batches, of which each cluster's share is told. Default: those that are recorded.
    key
        The `key_added` of the call that made the clusters.
    cache, workers, progress, copy
        As for `cs.tl.cluster`.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. The evidence is in the tree: `cs.get.tree` has `replicability`, `expected`, `p`, `purity`
        and `separation` of each cluster that was split.

    Raises
    ------
    InputError
        If there are no clusters, or they are not what the record makes of the cells: cells, embedding or labels have
        changed since.
    ConfigError, UnusableAnnData, SplitFailed
        As `cs.tl.cluster`.
    """
    check_adata(adata)
    record = AdataRecord.of(adata, key)
    recorded: dict[str, Any] = json.loads(record.text("configuration") or "{}")
    clustering: dict[str, Any] = recorded.get("clustering", {})
    if not clustering:
        raise InputError(NAME, f"uns[{record.key!r}]", "does not tell how the clusters were made: cluster again")
    left_out = (*OF_FILES, "neighbors", "markers", "match")  # clusters are found by their cells, whatever their ids
    asked = {name: value for name, value in clustering.items() if name not in left_out}
    asked["evidence"] = {"halves": halves, "null": null}
    if batch_keys is not None:
        asked["batch_keys"] = [batch_keys] if isinstance(batch_keys, str) else list(batch_keys)
    config = run_config(asked, clustering.get("neighbors") or {}, cache=cache, workers=workers, refresh=False)
    finished, store = finished_trees(adata, config, progress=progress)
    made = annotations_of(finished, store, adata, key)
    said: Mapping[str, Any] = made.uns[record.key]
    tree = with_evidence(record, made.obs, said["tree"])
    own = in_memory_copy(adata) if copy else adata
    now = {name: asked[name] for name in ("evidence", "batch_keys") if name in asked}
    own.uns[record.key] = {
        **own.uns[record.key],
        **{name: said[name] for name in TOLD if name in said},
        "tree": tree,
        "configuration": json.dumps({**recorded, "clustering": {**clustering, **now}}, sort_keys=True),
    }
    return own if copy else None
