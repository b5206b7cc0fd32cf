"""`cs.tl.advise`: which resolution to take for an AnnData in memory; nothing is written into it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from cellstrata.flows.notebook.arguments import run_config
from cellstrata.flows.notebook.memory_run import swept_resolutions
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.adata_checks import check_adata

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from cellstrata.tasks.advice.advice import Advice

SHOWN = ("resolution", "n_clusters", "replicability", "recovered", "expected", "p", "stability", "agreement",
         "modularity", "best_from", "best_to", "reason")  # fmt: skip
NUMBERS = SHOWN[2:-1]


def advise(
    adata: ad.AnnData,
    resolutions: float | Sequence[float] | None = None,
    *,
    algorithm: Literal["leiden", "louvain"] | Sequence[Literal["leiden", "louvain"]] = "leiden",
    use_rep: str | None = None,
    n_neighbors: int | None = None,
    metric: Literal["euclidean", "cosine"] | None = None,
    n_pcs: int | None = None,
    neighbors_key: str | None = None,
    recompute_neighbors: bool | None = None,
    seed: int = 0,
    ensemble: int | Literal["auto"] = "auto",
    halves: int = 4,
    null: int = 4,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    refresh: bool = False,
    progress: bool = True,
    **clustering: Any,
) -> pd.DataFrame:
    """Sweep over the resolutions of level 1, and tell which to take: halves of the cells find the same clusters again.

    What is advised is what the command `cellstrata advise` does, and the splits are kept in the same cache: clustering
    at what is advised computes none of them anew.

    Parameters
    ----------
    adata
        As for `cs.tl.cluster`. Nothing is written into it.
    resolutions
        Resolutions that are set beside those of the sweep.
    algorithm, use_rep, n_neighbors, metric, n_pcs, neighbors_key, recompute_neighbors, seed, ensemble
        As for `cs.tl.cluster`.
    halves, null
        How often the cells are halved, and how many clouds without groups are treated the same.
    cache, workers, refresh, progress, **clustering
        As for `cs.tl.cluster`.

    Returns
    -------
    pd.DataFrame
        One row for each resolution: `algorithm`, `resolution`, `verdict` (`advised`, `candidate` or nothing),
        `n_clusters`; `replicability` and `recovered`, the agreement of halves with one another and with all cells;
        `expected` of clouds without groups, and `p`; `stability` and `agreement` of runs; `modularity`; `best_from`
        and `best_to`, between which the partition is the best by modularity; and a `reason` where it does not stand.
        `attrs["said"]` tells it in words, by algorithm.

    Raises
    ------
    ConfigError, UnusableAnnData, SplitFailed
        As `cs.tl.cluster`.
    """
    check_adata(adata)
    asked: Mapping[str, Any] = {
        "resolutions": "auto" if resolutions is None else resolutions, "algorithm": algorithm, "hierarchy": 1,
        "neighbors_key": neighbors_key, "recompute_neighbors": recompute_neighbors, "seed": seed,
        "ensemble": ensemble, "evidence": {"halves": halves, "null": null}, **clustering,
    }  # fmt: skip
    config = run_config(
        asked, {"use_rep": use_rep, "n_neighbors": n_neighbors, "metric": metric, "n_pcs": n_pcs},
        cache=cache, workers=workers, refresh=refresh,
    )  # fmt: skip
    return _frame(swept_resolutions(adata, config, progress=progress))


def _frame(found: Sequence[Advice]) -> pd.DataFrame:
    with IMPORTING:
        import pandas as pd

    rows = [
        {"algorithm": of.algorithm, "verdict": of.verdict(row), **{name: getattr(row, name) for name in SHOWN}}
        for of in found
        for row in of.resolutions
    ]
    frame = pd.DataFrame(rows, columns=["algorithm", "resolution", "verdict", *SHOWN[1:]])
    frame = frame.astype(dict.fromkeys(NUMBERS, "float64")).assign(reason=frame["reason"].fillna(""))
    frame.attrs["said"] = {of.algorithm: of.said for of in found}
    return frame
