"""Parts of an AnnData in memory, as an opened input: a zarr that lies in memory, and is read as any other.

So what is asked of a file, its checks, their words, what float32 makes of the values, is asked of an AnnData in memory
too, by the same functions, and gives the same digests. Only the parts that will be read are copied; of others there is
as much as tells that they are there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from cellstrata.tasks.elements.adata_columns import series_of
from cellstrata.tasks.elements.kinds import Look
from cellstrata.tasks.elements.opening import Opened, Root
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import anndata as ad

NAME = "adata"  # what messages call it, in the place of a file
CHUNK_BYTES = 1 << 25


class _Memory(MemoryStore):
    """A zarr store in memory that messages call by its name."""

    def __str__(self) -> str:
        return NAME


class InMemory(Opened):
    """An AnnData in memory that has been looked at. Nothing of it is remembered from one call to the next."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = dict(parts)  # zarr's buffers, by key
        super().__init__(Place(NAME), Look("memory", {"url": NAME}))

    @property
    def url(self) -> str:
        """What it is called."""
        return NAME

    @contextlib.contextmanager
    def root(self) -> Iterator[Root]:
        """Yield the root, a `zarr.Group`."""
        with quiet():
            yield zarr.open_group(_Memory(self._parts), mode="r", zarr_format=3, use_consolidated=False)

    def check_unchanged(self) -> None:
        """Do nothing: what is read was copied."""

    def close(self) -> None:
        """Let go of what was copied."""
        self._parts = {}

    def __getstate__(self) -> Any:
        return {key: value.to_bytes() for key, value in self._parts.items()}

    def __setstate__(self, state: Any) -> None:
        make = default_buffer_prototype().buffer.from_bytes
        self.__init__({key: make(value) for key, value in state.items()})  # type: ignore[misc]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Which parts of an AnnData will be read, by their names; `var` are columns."""

    obs: Iterable[str] = ()
    var: Iterable[str] = ()
    obsm: Iterable[str] = ()
    obsp: Iterable[str] = ()
    layers: Iterable[str] = ()
    x: bool = False
    raw: bool = False
    uns: Mapping[str, Any] = field(default_factory=dict)  # as it is to be read


def in_memory(adata: ad.AnnData, parts: Parts) -> InMemory:
    """Copy parts of an AnnData, also one that is backed by a file, lazy, or a view, for reading.

    Values keep their dtypes. Of obs the names of all columns are there, of obsm the shapes of all entries, of X its
    shape, and of obsp all names.
    """
    store = _Memory()
    shapes = {"obsm": None, "obsp": (adata.n_obs, adata.n_obs), "layers": adata.shape}
    with quiet():
        root = zarr.open_group(store, mode="w", zarr_format=3)
        _write_frame(root, "obs", adata.obs, adata.obs_names, parts.obs)
        _write_frame(root, "var", adata.var, adata.var_names, parts.var)
        for slot, wanted in (("obsm", set(parts.obsm)), ("obsp", set(parts.obsp)), ("layers", set(parts.layers))):
            root.create_group(slot)
            elements = getattr(adata, slot)
            for key in elements:
                if not isinstance(key, str) or "/" in key:  # X among the layers of anndata 0.13; what no file can hold
                    continue
                if key in wanted:
                    _write(root, f"{slot}/{key}", elements[key])
                else:  # of a view each is copied when it is asked for, so only obsm is, whose widths differ
                    _hint(root, f"{slot}/{key}", shapes[slot] or _shape(elements[key]))
        if (x := x_of(adata)) is not None:
            _write(root, "X", x) if parts.x else _hint(root, "X", adata.shape)
        if adata.raw is not None and parts.raw:
            root.create_group("raw")
            _write(root, "raw/X", adata.raw.X)
            _write_frame(root, "raw/var", adata.raw.var, adata.raw.var_names, ())
        root.create_group("uns")
        for key, value in parts.uns.items():
            _write(root, f"uns/{key}", value)
    return InMemory(store._store_dict)


def held(value: Any) -> Any:
    """Return an element of an AnnData as an array, a sparse matrix or a frame in memory, never a view of one."""
    with IMPORTING:
        import pandas as pd

    if isinstance(value, pd.DataFrame):
        return pd.DataFrame(value)
    for read in ("to_memory", "compute"):  # what is backed by a file, and what is lazy
        if hasattr(value, read):
            value = getattr(value, read)()
    if sp.issparse(value):
        made: Any = {"csr": sp.csr_matrix, "csc": sp.csc_matrix}.get(value.format, sp.csr_matrix)
        return made(value)
    ready = isinstance(value, pd.DataFrame) or type(value).__module__.startswith("awkward")
    return value if ready else np.asarray(value)


def _write(root: Any, path: str, value: Any) -> None:
    with IMPORTING:
        from anndata.io import write_elem

    found = held(value)
    if isinstance(found, np.ndarray) and found.dtype.kind in "biuf" and found.ndim and found.size:
        rows = max(1, CHUNK_BYTES // max(1, found[:1].nbytes))
        chunks = (min(rows, len(found)), *found.shape[1:])
        node = root.create_array(path, data=np.ascontiguousarray(found), chunks=chunks, compressors=None)
        node.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return
    folder, _, name = path.rpartition("/")  # anndata takes no path for a name
    how: dict[str, Any] = {"compressors": None} if sp.issparse(found) else {}
    write_elem(root[folder] if folder else root, name, found, dataset_kwargs=how)


def _hint(root: Any, path: str, shape: tuple[int, ...]) -> None:
    """Tell that an element is there, and its shape; whoever should read it all the same finds NaN."""
    chunks = tuple(max(1, size) for size in shape)
    node = root.create_array(path, shape=shape, chunks=chunks, dtype="f4", fill_value=np.nan, compressors=None)
    node.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in getattr(value, "shape", ())) or (len(value),)


def in_memory_copy(adata: ad.AnnData) -> ad.AnnData:
    """Return a copy, of what is backed by a file one in memory."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def x_of(adata: ad.AnnData) -> Any:
    """Return X as it is held, None where there is none."""
    try:
        return adata.X
    except KeyError:  # anndata, of a file without an X that backs it
        return None


def log_base_of(adata: ad.AnnData) -> float | None:
    """Return the base that scanpy's `log1p` noted, None for natural logarithms or where it noted nothing."""
    said = adata.uns.get("log1p")
    base = said.get("base") if isinstance(said, Mapping) else None
    return None if base is None else float(base)


def _write_frame(root: Any, path: str, frame: Any, names: Any, wanted: Iterable[str]) -> None:
    with IMPORTING:
        import pandas as pd
        from anndata.io import write_elem

    chosen = [name for name in dict.fromkeys(wanted) if name in frame.columns]
    index = pd.Index(np.asarray(names, dtype=object), name=names.name)
    columns = {name: _column(frame[name], index) for name in chosen}
    folder, _, name = path.rpartition("/")
    write_elem(root[folder] if folder else root, name, pd.DataFrame(columns, index=index))
    root[path].attrs["column-order"] = [str(name) for name in frame.columns]


def _column(values: Any, index: Any) -> Any:
    with IMPORTING:
        import pandas as pd

    return pd.Series(series_of(values).array, index=index)
