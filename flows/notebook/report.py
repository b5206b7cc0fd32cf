"""`cs.report`: the page of a run, of an AnnData in memory or of a result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.report.adata_subject import adata_subject
from cellstrata.tasks.report.documents import assets_digest
from cellstrata.tasks.report.page import page
from cellstrata.tasks.report.write import CONTENT, written_key
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.new_file import cannot_be_written
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import StorageOptions

if TYPE_CHECKING:
    import anndata as ad

FOREIGN = "exists, was not made by cellstrata and is left alone; choose another name"


def report(
    data: ad.AnnData | str | os.PathLike[str],
    path: str | os.PathLike[str],
    color: str | Sequence[str] | None = None,
    *,
    title: str | None = None,
    key: str | None = None,
    storage_options: StorageOptions | None = None,
) -> str:
    """Write one HTML page that shows the clusters: their plot, tree, evidence, markers, and what they agree with.

    It needs no server and no network, and can be sent to others.

    Parameters
    ----------
    data
        An AnnData with clusters of `cs.tl.cluster`, or a result of `cellstrata run`: read, or its path or URL.
    path
        Where it goes, a path or URL that ends in `.html`. A page of cellstrata that stands there is replaced, another
        file is not.
    color
        Columns of obs and genes by which cells can be coloured, and that clusters are compared with; of genes the
        values in `raw` where that is there. Default: the categorical columns of obs with up to 50 values.
    title
        What the page is called. Default: the name of the result, or of the page.
    key
        The `key_added` of the call that made the clusters.
    storage_options
        Options of stores by protocol for URLs: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    str
        Where the page is.

    Raises
    ------
    InputError
        If there are no clusters, no such column or gene, or the labels are not those of the record.
    OutputError
        If nothing can be written there, or what stands there is not ours.
    """
    options = storage_options or {}
    target = Place(os.fspath(path), options)
    sources = [Place(os.fspath(data), options).url] if isinstance(data, (str, os.PathLike)) else []
    ours = target.store.exists() and target.store.is_file() and written_key(target.url, options) is not None
    problem = cannot_be_written(target, (".html",), sources=sources, overwrite=ours)
    if problem:
        raise OutputError(
            "", "", problem.replace("exists; choose another name, or replace it with --overwrite", FOREIGN)
        )
    adata = _read(Place(os.fspath(data), options)) if isinstance(data, (str, os.PathLike)) else data
    check_adata(adata)
    called = title or _name(sources[0] if sources else target.url)
    asked = [color] if isinstance(color, str) else color
    subject = adata_subject(AdataRecord.of(adata, key), asked, called)
    digest = digest_values(kind="report of an AnnData", content=CONTENT, title=called, assets=assets_digest())
    target.store.write("", page(subject, digest))
    return target.url


def _read(place: Place) -> ad.AnnData:
    with IMPORTING:
        import anndata

    if place.is_local and place.url.endswith(".h5ad"):
        with reading(place.url):
            return anndata.read_h5ad(place.url)
    return open_linked(place.url, place.options)


def _name(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2].rpartition(".")[0]
