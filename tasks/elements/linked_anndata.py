"""Opening a result, however it holds what its input held: linked, referred to, copied or converted.

    from cellstrata import linked_store, open_linked

    adata = open_linked("s3://lab/out/clustering/dataset~lung/file_id~core.zarr")
    root = zarr.open_group(linked_store("s3://lab/out/…/file_id~core.zarr"), mode="r")

The first reads all of it. Of the second, a `zarr.Group`, each element is read when it is asked for;
`anndata.read_zarr` and `anndata.experimental.read_lazy` take it too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import Store as ZarrStore

from cellstrata.tasks.elements.consolidated import open_complete
from cellstrata.tasks.elements.kinds import Kind, kind_of
from cellstrata.tasks.elements.opening import zarr_store, zipped
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.states import WITH_TIMES, ElementState, ZarrListing
from cellstrata.tasks.stores.store import StorageOptions, Store

if TYPE_CHECKING:
    import anndata

RECORD = "cellstrata"  # the attribute of uns/clustering that says how a result was made


def linked_store(url: str | os.PathLike[str], storage_options: StorageOptions | None = None) -> ZarrStore:
    """Return a read-only zarr store of a result, or of any AnnData zarr.

    A result that refers to its input compares each element with the recorded state of its source when the
    element is first read. An InputError then says which source has changed or gone.

    Parameters
    ----------
    url
        A path or URL of a zarr, plain, linked, zipped or referring to its input.
    storage_options
        Options of stores by protocol: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    zarr.abc.store.Store
        For `zarr.open_group(..., mode="r")`.

    Raises
    ------
    InputError
        If there is no zarr at `url`, or it links to what is gone.
    """
    place = Place(os.fspath(url), storage_options or {})
    return store_of(place, kind_of(place))


def store_of(place: Place, kind: Kind) -> ZarrStore:
    """Return what `linked_store` does, at a place that has been looked at."""
    if kind == "overlay":
        return LinkedStore(place)
    if kind == "h5ad":
        raise InputError(place.url, "", "is an h5ad file; read it with anndata.read_h5ad")
    if kind == "zarr":
        check_links(place.store)
    return zarr_store(zipped(place.store) if kind == "zip" else place.store)


def open_linked(url: str | os.PathLike[str], storage_options: StorageOptions | None = None) -> anndata.AnnData:
    """Read a result of any kind into memory, as `anndata.read_zarr` reads a plain zarr.

    Parameters
    ----------
    url
        A path or URL of a result, or of any AnnData zarr.
    storage_options
        Options of stores by protocol: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    anndata.AnnData
        With everything that the input held, and the new columns.

    Raises
    ------
    InputError
        As `linked_store`, and if what the result refers to has changed or gone.
    """
    with IMPORTING:
        import anndata

    with quiet():
        return anndata.read_zarr(open_complete(linked_store(url, storage_options)))


def refers_rightly(place: Place) -> bool:
    """Tell whether all that a result links or refers to is there and as it was when the result was made."""
    try:
        store = store_of(place, kind_of(place))
        if isinstance(store, LinkedStore):
            store.check_all()
    except InputError:
        return False
    return True


def check_links(place: Store) -> None:
    """Compare what a result on a local disk links to with what it was when the result was made.

    Raises
    ------
    InputError
        With all that has changed or gone: a zarr reader takes a link that leads nowhere for absent.
    """
    if not place.is_local:
        return
    then, problems = _recorded(place), []
    for path in links_in(place):
        target = os.path.realpath(place.path(path))
        now = ZarrListing.of(Store(target)).state("")
        if not os.path.exists(target):
            problems.append(f"links to {target}, which has gone")
        elif path in then and now != then[path]:
            problems.append(f"links to {target}, which has changed since: it was {then[path]}, and is {now}")
        else:
            continue
        problems[-1] += f"; restore it {WITH_TIMES}, or run again to make the result from what is there now"
    if problems:
        raise InputError("", "", "\n".join(f"{place.url}: {problem}" for problem in problems[:9]))


def links_in(place: Store) -> list[str]:
    """Return the links in a result on a local disk: slots, or elements in them."""
    found = []
    for folder in ["", *(name for name in place.list() if not os.path.islink(place.path(name)))]:
        names = [f"{folder}/{name}" if folder else name for name in place.list(folder)]
        found += [name for name in names if os.path.islink(place.path(name))]
    return found


def _recorded(place: Store) -> dict[str, ElementState]:
    try:
        with quiet():
            record: Any = zarr.open_group(zarr_store(Store(place.path("uns/clustering"))), mode="r").attrs.get(RECORD)
        return {path: ElementState(**state) for path, state in record.get("links", {}).items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # not ours, or an older one
        return {}
