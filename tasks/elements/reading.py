"""Reading single elements of an AnnData file, h5ad or zarr: what is asked for and no more.

anndata costs 1.5 s to import, so only those functions import it that need its decoding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import scipy.sparse as sp

from cellstrata.tasks.elements.claimed_size import check_claim, check_claims, check_room
from cellstrata.tasks.elements.hdf5_filters import check_filters
from cellstrata.tasks.elements.legacy import is_legacy_frame, moved_graphs, read_frame
from cellstrata.tasks.elements.opening import DataError, InputError, Root, kind_of, open_anndata
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import (
    encoding,
    index_key,
    is_array,
    read_ahead,
    row_blocks,
    shape_of,
    sparse_format,
    strings,
    values_of,
)
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "HIGHLY_VARIABLE",
    "DataError",
    "InputError",
    "Root",
    "frame_names",
    "has_x",
    "kind_of",
    "n_obs",
    "n_vars",
    "obs_columns",
    "obs_index_column",
    "obs_index_name",
    "obs_names",
    "obsm_shapes",
    "obsp_keys",
    "odd_obsm",
    "open_anndata",
    "read_obs_column",
    "read_obsm",
    "read_obsp",
    "read_uns",
    "read_x",
    "uns_keys",
    "url_of",
    "var_flags",
    "var_names",
]

HIGHLY_VARIABLE = "highly_variable"  # the column of var that says of which genes a PCA is made, scanpy's

BLOCK_BYTES = 1 << 25


def n_obs(root: Root) -> int:
    """Return the number of cells, from the length of the stored obs index."""
    return _frame_length(root, "obs")


def n_vars(root: Root) -> int:
    """Return the number of variables, from the length of the stored var index; 0 without a `var`."""
    take_own(root, "var")
    return _frame_length(root, "var") if "var" in root else 0


def obs_names(root: Root) -> np.ndarray:
    """Return the names of the cells, an object array of str of length n; duplicates are kept."""
    return frame_names(root, "obs")


def var_names(root: Root) -> np.ndarray:
    """Return the names of the genes, an object array of str; empty when there is no `var`."""
    take_own(root, "var")
    return frame_names(root, "var") if "var" in root else np.empty(0, dtype=object)


def obs_index_column(root: Root) -> str:
    """Return under which name the obs index is stored, `_index` where it has none of its own."""
    obs = root["obs"]
    return str(obs.dtype.names[0]) if is_array(obs) else index_key(obs)


def obs_index_name(root: Root) -> str | None:
    """Return the name of the obs index, None where it has none."""
    name = obs_index_column(root)
    return None if name == "_index" else name


def obs_columns(root: Root) -> list[str]:
    """Return the names of the obs columns, in their order."""
    obs = root["obs"]
    if is_array(obs):
        return list(obs.dtype.names[1:])
    return [str(name) for name in obs.attrs["column-order"]]


def read_obs_column(root: Root, name: str) -> pd.Series:
    """Return one obs column as a Series of length n, its dtype as anndata has it, rows numbered from 0.

    Raises
    ------
    InputError
        If there is no such column.
    """
    with IMPORTING:
        import pandas as pd
        from anndata.io import read_elem

    if name not in obs_columns(root):
        raise _missing(root, f"obs[{name!r}]", obs_columns(root))
    check_filters(url_of(root), f"obs[{name!r}]", root["obs"] if is_array(root["obs"]) else root["obs"][name])
    with quiet():
        if is_legacy_frame(root["obs"]):
            return read_frame(root, "obs")[name].reset_index(drop=True)
        check_claims(root["obs"][name])
        values = read_elem(root["obs"][name])
    if isinstance(values, np.ndarray) and values.dtype.kind == "T":
        values = values.astype(object)  # pandas before 3 cannot hold NumPy's own strings
    return pd.Series(values, name=name)


def var_flags(root: Root, name: str) -> np.ndarray | None:
    """Return a var column of truth values, (genes,) bool, as `highly_variable`; None if there is no such column."""
    take_own(root, "var", f"var/{name}")
    if "var" not in root or is_array(root["var"]) or name not in root["var"] or not is_array(root["var"][name]):
        return None
    check_filters(url_of(root), f"var[{name!r}]", root["var"][name])
    values = np.asarray(values_of(root["var"][name]))
    return values.astype(bool) if values.dtype.kind == "b" else None


def obsm_shapes(root: Root) -> dict[str, tuple[int, ...]]:
    """Return the shape of each obsm entry that has one (of an awkward array its length), without reading any."""
    obsm = root.get("obsm")
    if obsm is None:
        return {}
    if is_array(obsm):  # anndata before 0.7: one table, a field each
        return {name: (int(obsm.shape[0]), *obsm.dtype[name].shape) for name in obsm.dtype.names}
    return {str(key): shape for key in obsm if (shape := _shape(obsm[key])) is not None}


def odd_obsm(root: Root) -> list[str]:
    """Return the names of the obsm entries that are of no known kind, as what a `/` in a name leaves behind."""
    obsm = root.get("obsm")
    return [] if obsm is None or is_array(obsm) else [str(key) for key in obsm if _shape(obsm[key]) is None]


def _shape(node: Any) -> tuple[int, ...] | None:
    try:
        return shape_of(node)
    except (ValueError, KeyError, TypeError):
        return None


def obsp_keys(root: Root) -> list[str]:
    """Return the names of the obsp entries, with the graphs that old files keep in uns."""
    there = [str(key) for key in root["obsp"]] if "obsp" in root else []
    return list(dict.fromkeys([*there, *(path.removeprefix("obsp/") for path in moved_graphs(root))]))


def uns_keys(root: Root) -> list[str]:
    """Return the top-level names in uns."""
    return [str(key) for key in root["uns"]] if "uns" in root else []


def read_uns(root: Root, key: str) -> Any:
    """Return an entry of uns as anndata decodes it; `key` may be a path, `neighbors/params`.

    Raises
    ------
    InputError
        If there is none.
    """
    with IMPORTING:
        from anndata.io import read_elem

    if "uns" not in root or key not in root["uns"]:
        raise _missing(root, f"uns[{key!r}]", uns_keys(root))
    check_filters(url_of(root), f"uns[{key!r}]", root["uns"][key])
    with quiet():
        return read_elem(root["uns"][key])


def read_obsm(root: Root, key: str) -> np.ndarray:
    """Return an obsm entry as a C-contiguous float32 array of shape (n, d); one of one axis gives (n, 1).

    Takes dense arrays of any real dtype, sparse matrices and DataFrames of numbers. Values that
    are not finite stay as they are.

    Raises
    ------
    InputError
        If there is no such entry, or it does not hold numbers.
    """
    take_own(root, f"obsm/{key}")
    shapes = obsm_shapes(root)
    if key not in shapes:
        raise _missing(root, f"obsm[{key!r}]", list(shapes))
    node = root["obsm"] if is_array(root["obsm"]) else root["obsm"][key]
    where = f"obsm[{key!r}]"
    check_filters(url_of(root), where, node)
    if is_array(root["obsm"]):
        return _float32(node[key], root, where)
    if sparse_format(node):
        check_room(node, math.prod(shapes[key]) * 4, shapes[key])
        return np.ascontiguousarray(_read_sparse(root, node, where).toarray(), dtype=np.float32)
    if not is_array(node):
        return _float32_frame(root, node, where)
    if node.dtype.kind not in "biuf" or not 1 <= len(node.shape) <= 2:
        message = f"does not hold rows of numbers but {node.dtype} {node.shape}; name another"
        raise InputError(url_of(root), where, message)
    check_claim(node)
    table = np.empty(node.shape, dtype=np.float32)
    for rows in row_blocks(node, BLOCK_BYTES):
        read_ahead(node, rows)
        table[rows] = node[rows]
    return table.reshape(len(table), -1) if table.size else np.empty((*node.shape, 1)[:2], dtype=np.float32)


def read_obsp(root: Root, key: str) -> sp.csr_matrix:
    """Return an obsp entry as an (n, n) CSR matrix with float32 data; csc and dense are converted.

    Raises
    ------
    InputError
        If there is no such entry, it is not square, or its index is damaged.
    """
    take_own(root, f"obsp/{key}")
    if key not in obsp_keys(root):
        raise _missing(root, f"obsp[{key!r}]", obsp_keys(root))
    path = f"obsp/{key}"
    node, where, n = root[moved_graphs(root).get(path, path)], f"obsp[{key!r}]", n_obs(root)
    if shape_of(node) != (n, n):
        raise InputError(url_of(root), where, f"has the shape {shape_of(node)}, not ({n}, {n}); compute it again")
    check_filters(url_of(root), where, node)
    if sparse_format(node):
        matrix = _read_sparse(root, node, where)
    else:
        blocks = []
        for rows in row_blocks(node, BLOCK_BYTES):
            read_ahead(node, rows)
            blocks.append(sp.csr_matrix(np.asarray(node[rows], np.float32)))
        matrix = sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((n, n))
    return sp.csr_matrix(matrix, dtype=np.float32)


def has_x(root: Root) -> bool:
    """Tell whether there is an X with values: anndata 0.12.0 and others store one of None as a `null`."""
    take_own(root, "X")
    return "X" in root and encoding(root["X"]) != "null" and 0 not in shape_of(root["X"])


def read_x(root: Root) -> Any:
    """Return X as it is stored: an ndarray, csr_matrix or csc_matrix of shape (n, genes).

    Raises
    ------
    InputError
        If there is no X.
    """
    with IMPORTING:
        from anndata.io import read_elem

    if not has_x(root):
        raise InputError(url_of(root), "X", "is missing or empty; name a stored embedding in `neighbors: use_rep`")
    check_filters(url_of(root), "X", root["X"])
    check_claims(root["X"])
    with quiet():
        return read_elem(root["X"])


def _frame_length(root: Root, slot: str) -> int:
    frame = root[slot]
    index = frame if is_array(frame) else frame[index_key(frame)]
    check_claims(index)
    return shape_of(index)[0]


def frame_names(root: Root, slot: str) -> np.ndarray:
    """Return the index of a stored frame, `obs`, `var` or `raw/var`, as an object array of str."""
    frame = root[slot]
    if not is_array(frame):
        return strings(frame[index_key(frame)])
    first = frame.dtype.names[0]
    values = np.asarray(frame[first])
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=object)


def _read_sparse(root: Root, node: Any, where: str) -> Any:
    make = sp.csr_matrix if sparse_format(node) == "csr" else sp.csc_matrix
    parts = tuple(np.asarray(values_of(node[name])) for name in ("data", "indices", "indptr"))
    try:
        matrix = make(parts, shape=shape_of(node))
        matrix.check_format(full_check=True)  # an index out of range crashes compiled code later
    except (ValueError, IndexError) as error:
        raise InputError(url_of(root), where, f"is damaged ({error}); compute it again") from error
    return matrix


def _float32_frame(root: Root, node: Any, where: str) -> np.ndarray:
    with IMPORTING:
        from anndata.io import read_elem

    with quiet():
        frame = read_elem(node)
    if not hasattr(frame, "columns"):
        raise InputError(url_of(root), where, "does not hold rows of numbers")
    columns = []
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind not in "biuf":
            raise InputError(url_of(root), where, f"its column {name!r} is not numeric")
        columns.append(column.to_numpy(dtype=np.float32, na_value=np.nan))
    return np.ascontiguousarray(np.column_stack(columns) if columns else np.empty((len(frame), 0), np.float32))


def _float32(values: object, root: Root, where: str) -> np.ndarray:
    table = np.asarray(values)
    if table.dtype.kind not in "biuf":
        raise InputError(url_of(root), where, f"does not hold numbers but {table.dtype}")
    return np.ascontiguousarray(table.reshape(len(table), -1), dtype=np.float32)


def _missing(root: Root, where: str, there: list[str]) -> InputError:
    known = ", ".join(there) if there else "nothing"
    return InputError(url_of(root), where, f"is not in the file, which has {known}")


def url_of(root: Root) -> str:
    """Return the path or URL of an opened file, as errors name it."""
    name = root.file.filename if isinstance(root, h5py.Group) else root.store_path
    return str(name).removeprefix("file://")
