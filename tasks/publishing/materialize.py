"""Making a result independent of its input: a plain zarr with everything in it."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import h5py

from cellstrata.tasks.elements.hdf5_copy import copy_to_hdf5
from cellstrata.tasks.elements.linked_anndata import RECORD, check_links, links_in
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.elements.ownership import is_foreign, is_ours, made_by_us
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.publishing.input_elements import copy_objects
from cellstrata.tasks.publishing.link_targets import copy_resolved
from cellstrata.tasks.publishing.upload import put_zarr
from cellstrata.tasks.stores.data_errors import InputError, OutputError
from cellstrata.tasks.stores.local_disk import staged_folder
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.states import ZarrListing
from cellstrata.tasks.stores.store import StorageOptions, Store

NO_ZARR = (".h5", ".hdf5", ".h5mu", ".loom", ".zip", ".parquet", ".csv", ".tsv")


@dataclass(frozen=True)
class Materialized:
    """A finished copy.

    Attributes
    ----------
    url : str
        Where it is.
    objects, bytes : int
        How many objects and bytes it has.
    seconds : float
        How long it took.
    """

    url: str
    objects: int
    bytes: int
    seconds: float


def materialize(
    url: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    storage_options: StorageOptions | None = None,
) -> Materialized:
    """Copy a result, with all that it links or refers to, to `destination`, which becomes a plain zarr or h5ad.

    Within one bucket service the service copies the objects; elsewhere they pass through this machine. What
    the result refers to is compared with its recorded state first. On a local disk the copy appears
    in one step; in a bucket its root metadata are written last.

    Parameters
    ----------
    url
        A path or URL of a result.
    destination
        A path or URL of the zarr to write, or of an h5ad, which is written where there is none.
    overwrite
        Whether a result of cellstrata at `destination` may be replaced.
    storage_options
        Options of stores by protocol: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    Materialized
        Where the copy is, its objects and bytes, and the seconds it took.

    Raises
    ------
    InputError
        If there is no result at `url`, or what it refers to has changed or gone.
    OutputError
        If something that cellstrata did not write is at `destination`, or a result is there and `overwrite` is
        false. If `destination` is the result, is in it, or holds it.
    """
    started = time.perf_counter()
    source = Opened.at(Place(os.fspath(url), storage_options or {}))
    target = source.place.at(os.fspath(destination))
    with source.root() as root:  # it is an AnnData at all
        if source.kind not in ("zarr", "overlay"):
            raise InputError(source.url, "", "is no zarr folder, and needs nothing else; copy it as it is")
        if not made_by_us(root):
            raise InputError(source.url, "", "is no result of cellstrata; copy it as it is")
        as_hdf5 = _is_hdf5(target)
        _check_destination(source.place, target, overwrite=overwrite)
        overlay = isinstance(root.store, LinkedStore)
        objects = _Overlay(root.store) if overlay else _Plain(source.place.store)
    objects.check(target)
    if as_hdf5:
        size = _write_hdf5(source, target)
        return Materialized(target.url, 1, size, round(time.perf_counter() - started, 3))
    if target.is_local:
        with staged_folder(Path(target.store.root)) as staged:
            size = objects.copy(objects.keys, Store(str(staged)))
    else:
        size = put_zarr(target.store, objects.keys, objects.copy)
    return Materialized(target.url, len(objects.keys), size, round(time.perf_counter() - started, 3))


def _is_hdf5(target: Place) -> bool:
    """Tell by its suffix whether an h5ad is to be written; raises OutputError for that of another file."""
    suffix = os.path.splitext(target.url.rstrip("/"))[1].lower()
    if suffix in NO_ZARR:
        raise OutputError(target.url, "", "a copy is a zarr or an h5ad; choose a name that ends in .zarr or .h5ad")
    return suffix == ".h5ad"


def _write_hdf5(source: Opened, target: Place) -> int:
    """Write a result as one h5ad, which appears in one step; return its bytes."""
    beside = Path(target.store.root).parent if target.is_local else None
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".cellstrata-", dir=beside) as folder, source.root() as root:
        made = Path(folder) / "copy.h5ad"
        with h5py.File(made, "w") as file:
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            for slot in root:
                copy_to_hdf5(root[slot], file, slot)
            clustering = file["uns/clustering"]
            clustering.attrs.pop(RECORD, None)  # of the zarr: what it links to
        size = made.stat().st_size
        if target.is_local:
            os.replace(made, target.store.root)
        else:
            Store(str(made)).copy_to("", target.store)
    return size


class _Overlay:
    def __init__(self, store: LinkedStore) -> None:
        self.store = store
        self.keys = sorted(store.keys())

    def check(self, target: Place) -> None:
        self.store.check_all()
        for source in self.store.references.sources:
            _check_apart(source.url, target)

    def copy(self, keys: list[str], target: Store) -> int:
        return copy_resolved(self.store, keys, target)


class _Plain:
    def __init__(self, source: Store) -> None:
        self.source = source
        self.keys = ZarrListing.of(source).keys  # with what lies behind links

    def check(self, target: Place) -> None:
        check_links(self.source)
        for path in links_in(self.source) if self.source.is_local else ():
            leads_to = os.path.realpath(self.source.path(path))
            _check_apart(leads_to.removesuffix(f"/{path}"), target)  # the input itself

    def copy(self, keys: list[str], target: Store) -> int:
        return copy_objects(self.source, keys, target)


def _check_destination(source: Place, target: Place, *, overwrite: bool) -> None:
    _check_apart(source.url, target)
    if _is_hdf5(target) and target.store.is_file():
        raise OutputError(target.url, "", "exists; remove it, or choose another place")
    if is_foreign(target):
        message = "exists, was not made by cellstrata and is left alone; move it away, or choose another place"
        raise OutputError(target.url, "", message)
    if not overwrite and is_ours(target):
        raise OutputError(
            target.url, "", "exists; choose another place, or replace it (`--overwrite`, in Python `overwrite=True`)"
        )


def _check_apart(url: str, target: Place) -> None:
    if overlap(url, target.url):
        raise OutputError(target.url, "", f"is {url}, lies in it or holds it; choose another place")
