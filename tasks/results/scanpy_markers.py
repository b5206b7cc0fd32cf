"""The markers of a column as scanpy's `rank_genes_groups` keeps them, so that scanpy's plots and tables show them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from cellstrata.configs.errors import did_you_mean, listed, one_of
from cellstrata.configs.markers import AGAINST
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.publishing.markers_parquet import said_of_markers
from cellstrata.tasks.results.marker_genes import MOST_NAMES, table_url
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import StorageOptions

if TYPE_CHECKING:
    import pandas as pd

FIELDS = {"names": ("gene", "O"), "scores": ("score", "float32"), "pvals": ("p", "float64"),
          "pvals_adj": ("p_adjusted", "float64"), "logfoldchanges": ("log_fold_change", "float32")}  # fmt: skip
REFERENCES = {"all": "rest", "sisters": "sisters"}
SHARES = {"pts": "share_in", "pts_rest": "share_out"}


def rank_genes_groups(
    url: str | os.PathLike[str],
    column: str,
    against: str = "all",
    *,
    storage_options: StorageOptions | None = None,
) -> dict[str, Any]:
    """Return the marker genes of a column as `scanpy.tl.rank_genes_groups` would leave them in `uns`.

    With `adata.uns["rank_genes_groups"] = rank_genes_groups(…)`, `scanpy.pl.rank_genes_groups_dotplot(adata)` and
    `scanpy.get.rank_genes_groups_df(adata, group=…)` show them. Nothing is computed, and the result is not changed.

    Parameters
    ----------
    url
        A path or URL of `markers.parquet`, or of the result that it lies beside.
    column
        The obs column whose clusters are the groups.
    against
        `all` for the tests against all other cells (scanpy's reference `rest`), `sisters` for those against the other
        children of the same parent. scanpy has no such reference: it is shown as `sisters`.
    storage_options
        Options of stores by protocol: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    dict
        `params`, and as many rows as the table has genes of a cluster: the structured arrays `names` (object), `scores`
        and `logfoldchanges` (float32), `pvals` and `pvals_adj` (float64), a field for each cluster that was compared.
        `pts` and `pts_rest` are frames of the genes in any of these, NaN where a gene is none of a cluster's; they are
        missing where a name stands for several genes of a cluster. `params` has `normalize` besides scanpy's own: where
        it is true, `layer` or `X` holds counts, and a plot of expression needs a layer of logarithms.

    Raises
    ------
    InputError
        If there is no table of markers, or it has none of this column against these.
    """
    place = Place(os.fspath(url), storage_options or {})
    if not place.url.endswith(".parquet"):
        place = place.at(table_url(place.url))
    how = said_of_markers(place)
    if how.get("made_by") != MADE_BY:
        raise InputError(place.url, "", "is no table of marker genes; `cellstrata markers RESULT` writes one")
    rows = _rows(place, column, against)
    clusters = list(dict.fromkeys(rows["cluster"]))
    ranked = {cluster: rows[rows["cluster"] == cluster].sort_values("rank") for cluster in clusters}
    if len({len(each) for each in ranked.values()}) > 1:
        raise InputError(place.url, f"column {column!r}", "its clusters have different numbers of genes")
    params = {
        "groupby": column, "reference": REFERENCES[against], "method": str(how["method"]), "use_raw": bool(how["raw"]),
        "layer": how["layer"], "corr_method": "benjamini-hochberg", "normalize": bool(how["normalize"]),
    }  # fmt: skip
    return {"params": params, **_shares(ranked), **_records(ranked)}


def _rows(place: Place, column: str, against: str) -> pd.DataFrame:
    """Return the rows of a column against these, in the order of its clusters."""
    with IMPORTING:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

    if against not in AGAINST:
        raise InputError(place.url, f"against {against!r}", f"must be {one_of(AGAINST)}")
    table = pq.read_table(io.BytesIO(place.store.read("")))
    own = table.filter(pc.equal(table["column"].cast("string"), column))
    if not len(own):
        there = table["column"].cast("string").unique().to_pylist()
        hint = did_you_mean(column, there) or f"it has {listed(there, MOST_NAMES) or 'none'}"
        raise InputError(place.url, f"column {column!r}", f"has no marker genes; {hint}")
    found = own.filter(pc.equal(own["against"].cast("string"), against))
    if not len(found):
        raise InputError(place.url, f"column {column!r}", f"was not compared with {against!r}; find its markers anew")
    frame: pd.DataFrame = found.to_pandas()
    return frame.astype({"cluster": object, "gene": object})


def _records(ranked: dict[str, pd.DataFrame]) -> dict[str, Any]:
    with IMPORTING:
        import pandas as pd

    found = {}
    for name, (field, kind) in FIELDS.items():
        values = pd.DataFrame({cluster: each[field].to_numpy() for cluster, each in ranked.items()})
        found[name] = values.to_records(index=False, column_dtypes=kind)
    return found


def _shares(ranked: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the shares of cells that express a gene, genes × clusters; scanpy finds them by the genes' names."""
    with IMPORTING:
        import pandas as pd

    if any(each["gene"].duplicated().any() for each in ranked.values()):
        return {}
    genes = pd.Index(list(dict.fromkeys(gene for each in ranked.values() for gene in each["gene"])), dtype=object)
    return {
        name: pd.DataFrame({of: each.set_index("gene")[field] for of, each in ranked.items()}).reindex(genes)
        for name, field in SHARES.items()
    }
