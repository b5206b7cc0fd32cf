"""Tools (`cs.tl`): what computes on an AnnData in memory and writes into it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from cellstrata.flows.notebook.adopt import adopt
from cellstrata.flows.notebook.advise import advise
from cellstrata.flows.notebook.arguments import marker_request, run_config
from cellstrata.flows.notebook.compare import compare
from cellstrata.flows.notebook.curate import curate
from cellstrata.flows.notebook.evidence import evidence
from cellstrata.flows.notebook.match import match
from cellstrata.flows.notebook.memory_run import finished_trees
from cellstrata.tasks.elements.in_memory import NAME, in_memory_copy
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.results.adata_markers import markers_of
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import annotations_of, markers_key

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["adopt", "advise", "cluster", "compare", "curate", "evidence", "markers", "match"]

log = logging.getLogger("cellstrata")

Algorithm = Literal["leiden", "louvain"]


def cluster(
    adata: ad.AnnData,
    resolutions: float | Sequence[float] | Literal["auto"] = (0.2, 0.5),
    *,
    hierarchy: int | Mapping[Any, Any] | Literal["until_stable"] = 2,
    algorithm: Algorithm | Sequence[Algorithm] = "leiden",
    use_rep: str | None = None,
    n_neighbors: int | None = None,
    metric: Literal["euclidean", "cosine"] | None = None,
    n_pcs: int | None = None,
    neighbors_key: str | None = None,
    recompute_neighbors: bool | None = None,
    seed: int = 0,
    ensemble: int | Literal["auto"] = "auto",
    key_added: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    refresh: bool = False,
    progress: bool = True,
    copy: bool = False,
    **clustering: Any,
) -> ad.AnnData | None:
    """Cluster the cells of an AnnData at several resolutions, and each cluster again, down to a level.

    The splits, their keys and the labels are those of `cellstrata run` on a file with the same cells: what one has
    computed the other finds in the cache. No file is written but the cache's, and no server is needed.

    Parameters
    ----------
    adata
        Cells with an embedding in `obsm`, a graph in `obsp`, or an X of which a PCA can be made. It may be backed by a
        file, or lazy (`read_lazy`), whose X and layers are then not read. A view becomes an AnnData of its own.
    resolutions
        Resolutions to cluster at, each greater than 0. `"auto"`: those that a sweep of level 1 advises.
    hierarchy
        How many levels, or a mapping of the clusters to be split, or `"until_stable"`, as the key `hierarchy` of a
        configuration file has it.
    algorithm
        `"leiden"`, `"louvain"`, or both.
    use_rep
        The embedding in `obsm` from which graphs are built, or `"X"`. Default: what the stored graph was built from,
        else `X_pca`, which is computed where it is not there.
    n_neighbors
        Neighbours of each cell, itself counted. Default: as recorded with the stored graph, else 15.
    metric
        `"euclidean"` or `"cosine"`. Default: as recorded, else euclidean.
    n_pcs
        Use only the first so many columns of the embedding.
    neighbors_key
        The stored graph that level 1 is split on, by its key in `uns`.
    recompute_neighbors
        True: build a graph for level 1. False: take the stored one. Default: build one if `use_rep`, `n_neighbors`,
        `metric` or `n_pcs` is given without `neighbors_key`, or none is stored; it is kept in the cache alone.
    seed
        Seed of the partitions.
    ensemble
        Seeded runs of Leiden that are joined into one partition; `"auto"`: 3, and 8 if they do not agree; 1: one run.
    key_added
        The record goes to `uns[key_added]` in place of `uns['clustering']`, and the names of columns begin with it.
    cache
        Folder or URL where finished splits are kept. Default: `CELLSTRATA_CACHE`, else the folder that `cellstrata run`
        uses, `~/.cache/cellstrata`.
    workers
        How many processes compute at once. Default: the CPUs that this process may use.
    refresh
        Compute every split anew, whatever the cache holds.
    progress
        Show a bar.
    copy
        Return a copy with the clusters, and leave `adata` as it is. Of one that is backed by a file, a copy in memory.
    **clustering
        Any other key under `clustering` of a configuration file: `evidence`, `stop`, `batch_keys`, `embedding`,
        `min_cells`, `engine`, `n_iterations` and so on; and of the run `runner`, `grain`, `dask`, `read_cache` and
        `storage_options`.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. Written are a categorical `obs[f"{algorithm}_{resolution}_{level}"]` for each column, in
        which cluster 0 is the largest and `1_0` lies within `1`, their `uns[f"{column}_colors"]`, the record with the
        tree in `uns['clustering']`, of ensembles `obsm['clustering_stability']`, and a PCA that was computed.

    Raises
    ------
    ConfigError
        If an argument is wrong; with all that is.
    UnusableAnnData
        If the AnnData does not have what is asked for, before any work; with all that is wrong.
    SplitFailed
        If a cluster could not be split. What was split is in the cache, and `adata` is as it was.

    Examples
    --------
    >>> import cellstrata as cs
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> cs.tl.cluster(adata, [0.5], hierarchy=2, progress=False)
    >>> [name for name in adata.obs if name.startswith("leiden")]
    ['leiden_0.5_1', 'leiden_0.5_2']
    """
    check_adata(adata, key_added)
    config = run_config(
        {
            "resolutions": resolutions, "hierarchy": hierarchy, "algorithm": algorithm, "neighbors_key": neighbors_key,
            "recompute_neighbors": recompute_neighbors, "seed": seed, "ensemble": ensemble, **clustering,
        },
        {"use_rep": use_rep, "n_neighbors": n_neighbors, "metric": metric, "n_pcs": n_pcs},
        cache=cache, workers=workers, refresh=refresh,
    )  # fmt: skip
    finished, store = finished_trees(adata, config, progress=progress)
    found = annotations_of(finished, store, adata, key_added)
    if not copy:
        found.write(adata)
        return None
    own = in_memory_copy(adata)
    found.write(own)
    return own


def markers(
    adata: ad.AnnData,
    columns: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    raw: bool = False,
    normalize: bool = False,
    method: Literal["t-test", "t-test_overestim_var", "wilcoxon"] = "t-test",
    against: Literal["sisters", "all"] | Sequence[Literal["sisters", "all"]] = ("sisters", "all"),
    n_genes: int = 100,
    min_cells: int = 10,
    key: str | None = None,
    copy: bool = False,
) -> ad.AnnData | None:
    """Find the genes that tell each cluster from its sisters, and from all other cells.

    The numbers are those of the command `cellstrata markers`, and of scanpy's tests.

    Parameters
    ----------
    adata
        An AnnData with clusters of `cs.tl.cluster`, or a result of `cellstrata run` that was read.
    columns
        Columns of clusters. Default: all.
    layer, raw
        Where the values are: a layer, or X of `raw`. Default: X.
    normalize
        The values are counts, and are brought to 10,000 a cell and to log1p. False: they are logarithms.
    method
        The test, as scanpy names it.
    against
        The other children of its parent, all other cells, or both.
    n_genes
        How many genes are kept for each cluster, those with the highest scores.
    min_cells
        Clusters with fewer cells are left out.
    key
        The `key_added` of the call that made the clusters.
    copy
        Return a copy with the markers, and leave `adata` as it is.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. The markers are in `uns['clustering_markers']`, a frame that `cs.get.markers` reads.

    Raises
    ------
    ConfigError
        If an argument is wrong.
    InputError
        If there are no clusters, no such column or values, or these are not what `normalize` says.
    """
    check_adata(adata)
    asked = marker_request(
        layer=layer, raw=raw, normalize=normalize, method=method, against=against, n_genes=n_genes,
        min_cells=min_cells, columns=[columns] if isinstance(columns, str) else columns or (),
    )  # fmt: skip
    found = markers_of(AdataRecord.of(adata, key), asked, log.info)
    for notice in found.notices:
        log.warning("%s: %s", NAME, notice)
    own = in_memory_copy(adata) if copy else adata
    own.uns[markers_key(key)] = found.table
    return own if copy else None
