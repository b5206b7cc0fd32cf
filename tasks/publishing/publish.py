"""Making the result: a zarr with everything the input holds, and our columns, graph and record.

What does not change is linked, copied or converted (`publishing.input_elements`); `obs`, `uns` and every
other slot that gets entries are groups of the result's own. Its root metadata are its own as well
and consolidated last: linked ones would go on listing the old columns.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from cellstrata.tasks.elements.consolidated import consolidate
from cellstrata.tasks.elements.conversion import encoding_of, with_plain_strings
from cellstrata.tasks.elements.legacy import is_legacy_frame, read_frame, uns_categories
from cellstrata.tasks.elements.linked_anndata import RECORD
from cellstrata.tasks.elements.opening import DataError, InputError, Opened, Root, zarr_store, zipped
from cellstrata.tasks.elements.ownership import is_foreign, is_ours
from cellstrata.tasks.elements.reading import n_obs, obs_index_column
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import attrs_of, index_key
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.document import INSIDE, MADE_BY, OWN, has_document
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.publishing import links
from cellstrata.tasks.publishing.input_elements import Converted, Copied, Linked, OutputError, Untouched
from cellstrata.tasks.publishing.labels_parquet import write_labels_parquet
from cellstrata.tasks.publishing.link_mode import Mode, link_mode
from cellstrata.tasks.publishing.link_targets import Resolved
from cellstrata.tasks.publishing.overlay import commit_overlay, finish_overlay, own_name
from cellstrata.tasks.publishing.references import Referenced, ReferencedChunks
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.publishing.upload import upload
from cellstrata.tasks.stores.local_disk import scratch_folder, staged_folder
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store, is_local, join, local_path

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

__all__ = [
    "DataError",
    "InputError",
    "OutputError",
    "PublishReport",
    "is_ours",
    "publish",
    "write_labels_parquet",
]

LAYOUT = 1  # of the stored elements; an older result of another layout is not taken over


@dataclass(frozen=True)
class PublishReport:
    """How a result was made.

    `mode` is `linked`, `referenced`, `copied` or `converted`; `linked` counts symbolic links, elements
    that are referred to, or shared with an older result; `bytes_written` counts what was really
    stored, in bytes.
    """

    mode: str
    linked: int
    bytes_written: int
    seconds: float


@dataclass(frozen=True)
class _Changes:
    obs: Mapping[str, object]
    obsm: Mapping[str, object]
    obsp: Mapping[str, object]
    uns: Mapping[str, object]
    removed: frozenset[str] = field(default_factory=frozenset)
    obs_kept: Collection[str] | None = None
    slots_kept: Collection[str] | None = None
    left_out: Collection[str] = ()

    def of(self, slot: str) -> Mapping[str, Any]:
        return dict(getattr(self, slot))

    def slots(self) -> list[str]:
        changed = {path.partition("/")[0] for path in self.removed}
        return ["obs", "uns", *(slot for slot in ("obsm", "obsp") if self.of(slot) or slot in changed)]

    def takes(self, slot: str) -> bool:
        return self.slots_kept is None or slot in self.slots_kept

    def takes_column(self, name: str) -> bool:
        return name not in self.left_out and (self.obs_kept is None or name in self.obs_kept)

    def names(self) -> dict[str, list[str]]:
        return {slot: list(self.of(slot)) for slot in self.slots()}


def publish(
    source: Opened,
    target: Place,
    *,
    obs: Mapping[str, pd.Categorical[Any] | np.ndarray] | None = None,
    obsm: Mapping[str, np.ndarray] | None = None,
    obsp: Mapping[str, sp.csr_matrix] | None = None,
    uns: Mapping[str, Any] | None = None,
    link: str = "auto",
    reuse: str | None = None,
    removed: Collection[str] = (),
    obs_kept: Collection[str] | None = None,
    left_out: Collection[str] = (),
    slots_kept: Collection[str] | None = None,
) -> PublishReport:
    """Write the input and our entries to `target`, a zarr, replacing an older result of ours.

    `obs` are categoricals of strings, or arrays of numbers, of length n, put behind the other columns in this order, in
    place where one of the name exists; `obsm` arrays (n, d), `obsp` matrices (n, n); `uns` top-level
    entries. `uns['clustering']` always gets `made_by`. Everything else is as in the input, dtypes
    included, in the way that `link` asks for (`cellstrata.tasks.publishing.link_mode`): linked, referred to, copied or
    converted. `reuse` is the path of an older result that the caller knows to be made
    from the same h5ad: what it took from there is shared with it instead of converted again.
    `obs_kept` and `slots_kept` name the columns of the input's obs and the other slots that the
    result has of it, None for all; `left_out` are columns that it has not, and `removed` entries of
    obsm, obsp and uns (`uns/name`).

    On a local disk the result appears in one step, and in a bucket one that refers to its input too. Of
    a copy in a bucket the root metadata are removed first and written last, so that a reader who opens
    it sees no store or a whole one.

    Raises
    ------
    InputError
        If the input cannot be read, or has changed since it was looked at.
    OutputError
        If something not ours stands at `target`, it lies in the input (or the input in it), it
        cannot be linked as asked, or another run is writing a copy there.
    ValueError
        If an entry has another number of cells than the input.
    """
    started = time.perf_counter()
    _check_places(source.place, target)
    source.check_unchanged()
    clustering = {**dict((uns or {}).get("clustering", {})), "made_by": MADE_BY}
    uns = {**(uns or {}), "clustering": clustering}
    mode = link_mode(source, target, link)
    own = own_name() if mode == "reference" else ""
    with source.root() as root, _workplace(target.store) as staged:
        gone = [path for path in removed if path in root]
        gone += [f"uns/{name}" for name in uns_categories(root)]
        changes = _Changes(obs or {}, obsm or {}, obsp or {}, uns, frozenset(gone), obs_kept, slots_kept, left_out)
        _check_lengths(root, changes)
        build = staged / own / INSIDE[OWN] if own else staged
        untouched = _way(mode, source, target, root, build, reuse)
        _build(root, build, untouched, changes, target.url)
        if isinstance(untouched, (Referenced, ReferencedChunks)):
            finish_overlay(staged, own, untouched, changes.names(), target)
        if target.is_local:
            untouched.finish(Store(str(staged)))
            size = links.own_bytes(staged)
        elif own:
            size = commit_overlay(staged, own, target.store)
        else:
            size = upload(staged, target.store, untouched)
    return PublishReport(untouched.mode, untouched.linked, size, time.perf_counter() - started)


def _build(root: Root, staged: Path, untouched: Untouched, changes: _Changes, shown: str) -> None:
    attrs = {**untouched.attrs(), "encoding-type": "anndata", "encoding-version": "0.1.0"}
    store = StagedStore(staged)
    new = zarr.open_group(store, mode="w", zarr_format=2 if untouched.zarr_format == 2 else 3, attributes=attrs)
    slots = changes.slots()
    for slot in untouched.children():
        if slot not in slots and changes.takes(slot):
            untouched.place(slot)
    for slot in slots:
        if slot == "obs":
            group = _obs_group(root, new, untouched, changes)
        else:
            there = slot in untouched.children() and changes.takes(slot)
            group = new.create_group(slot, attributes=untouched.attrs(slot) if there else encoding_of("dict"))
            for name in untouched.children(slot) if there else []:
                if name not in changes.of(slot) and f"{slot}/{name}" not in changes.removed:
                    untouched.place(f"{slot}/{name}")
        _write(group, changes.of(slot))
    clustering: Any = new["uns/clustering"]
    clustering.attrs[RECORD] = {"layout": LAYOUT, "written": changes.names(), **untouched.record()}
    consolidate(store, shown)


def _obs_group(root: Root, new: zarr.Group, untouched: Untouched, changes: _Changes) -> zarr.Group:
    """Make obs with the input's columns but ours, and the order of all."""
    obs, ours = root["obs"], changes.of("obs")
    if is_legacy_frame(obs):
        frame = read_frame(root, "obs")
        columns = [str(name) for name in frame.columns if changes.takes_column(str(name))]
        _write(new, {"obs": frame[[name for name in columns if name not in ours]]})
        group: Any = new["obs"]
    else:
        attrs = untouched.attrs("obs")
        every = [str(name) for name in attrs_of(obs)["column-order"]]
        columns = [name for name in every if changes.takes_column(name)]
        kept = {name.partition("/")[0] for name in columns if name not in ours}  # anndata nests "a/b"
        left_out = {name.partition("/")[0] for name in [*every, *ours]} - kept - {index_key(obs)}
        group = new.create_group("obs", attributes=attrs)
        for name in untouched.children("obs"):
            if name not in left_out:
                untouched.place(f"obs/{name}")
    group.attrs["column-order"] = [*columns, *(name for name in ours if name not in columns)]
    made: zarr.Group = group
    return made


def _write(group: zarr.Group, entries: Mapping[str, Any]) -> None:
    with IMPORTING:
        from anndata.io import write_elem

    for name, value in entries.items():
        write_elem(group, name, with_plain_strings(value))


def _way(mode: Mode, source: Opened, target: Place, root: Root, build: Path, reuse: str | None) -> Untouched:
    store = source.place.store
    if mode == "symlink":
        return Linked(store, root, build, final=Path(target.store.root))
    if mode == "reference":
        if isinstance(root, zarr.Group):
            return Referenced(source.place, root, build, target)
        return ReferencedChunks(store, root, build)
    if mode == "convert":
        older, written = _older(reuse) if not isinstance(root, zarr.Group) else (None, {})
        return Converted(root, build, older, written)
    if isinstance(root.store, LinkedStore):
        return Resolved(root.store, root, build)
    return Copied(zipped(store) if source.kind == "zip" else store, root, build)


def _older(reuse: str | None) -> tuple[Path | None, dict[str, list[str]]]:
    """Return an older result and what it holds of its own, or nothing if it cannot be shared."""
    if reuse is None or not is_local(reuse) or not is_ours(Place(reuse)) or has_document(Store.at(reuse)):
        return None, {}
    own = zarr_store(Store.at(join(reuse, "uns", "clustering")))
    record: Any = zarr.open_group(own, mode="r").attrs.get(RECORD)
    if not isinstance(record, dict) or record.get("layout") != LAYOUT:
        return None, {}
    return local_path(reuse), {str(slot): list(names) for slot, names in record["written"].items()}


@contextmanager
def _workplace(target: Store) -> Iterator[Path]:
    with quiet(), staged_folder(Path(target.root)) if target.is_local else scratch_folder() as staged:
        yield staged


def _check_places(source: Place, target: Place) -> None:
    if overlap(source.url, target.url):
        raise OutputError(target.url, "", f"lies in the input {source.url}, or holds it; choose another output_dir")
    if is_foreign(target):
        raise OutputError(target.url, "", "was not made by cellstrata and is left alone; move it away")


def _check_lengths(root: Root, changes: _Changes) -> None:
    n = n_obs(root)
    for slot in ("obs", "obsm", "obsp"):
        for name, value in changes.of(slot).items():
            shape = value.shape if slot != "obs" else (len(value),)
            if shape[0] != n or (slot == "obsp" and shape != (n, n)):
                raise ValueError(f"{slot}[{name!r}] has the shape {shape}, but there are {n} cells")
    if obs_index_column(root) in changes.obs:
        raise ValueError(f"obs[{obs_index_column(root)!r}] is the index of obs and cannot be replaced")
