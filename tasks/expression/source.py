"""Where expression values are stored in an AnnData file: X, a layer, or X of `raw`, with the names of its genes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cellstrata.tasks.elements.hdf5_filters import check_filters
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.reading import Root, frame_names, n_obs, uns_keys, url_of
from cellstrata.tasks.elements.storage_nodes import encoding, is_array, shape_of, sparse_format, values_of
from cellstrata.tasks.stores.data_errors import InputError

Form = Literal["csr", "csc", "dense"]
MOST_NAMES = 8


@dataclass(frozen=True, eq=False)
class Expression:
    """A matrix of cells × genes in an opened file; nothing of its values has been read.

    `where` is its key in the file, `X`, `layers['counts']` or `raw/X`. `genes` are the names of its genes, an object
    array of str. `log_base` is the base of its logarithms if scanpy's `log1p` noted one, else None: natural ones.
    `others` are the keys of the other matrices there.
    """

    url: str
    where: str
    node: Any
    form: Form
    shape: tuple[int, int]
    genes: np.ndarray
    log_base: float | None = None
    others: tuple[str, ...] = ()

    @property
    def repeated_genes(self) -> list[str]:
        """The names that several genes have, in their order."""
        return [name for name, times in Counter(self.genes.tolist()).items() if times > 1]


def find_expression(root: Root, *, layer: str | None = None, raw: bool = False) -> Expression:
    """Find X, a layer, or with `raw` the X of `raw`, in an opened AnnData file.

    Raises
    ------
    InputError
        If it is not there, is empty, holds no numbers, or has another number of cells than obs.
    ValueError
        If both a layer and raw are asked for.
    """
    if layer is not None and raw:
        raise ValueError("a layer and raw cannot both be read; name one")
    slot, where, var = _slots(root, layer, raw)
    if slot is None or encoding(root[slot]) == "null":
        raise InputError(url_of(root), where, f"is not in the file; {_others(root, where)}")
    node = root[slot]
    check_filters(url_of(root), where, node)
    form: Any = sparse_format(node) or ("dense" if is_array(node) else "")
    values = node["data"] if form in ("csr", "csc") else node
    if not form or values.dtype.kind not in "biuf" or len(shape_of(node)) != 2:
        raise InputError(url_of(root), where, f"is no matrix of numbers; {_others(root, where)}")
    n, genes = shape_of(node)
    if 0 in (n, genes):
        raise InputError(url_of(root), where, f"is empty, {n} × {genes}; {_others(root, where)}")
    names = frame_names(root, var)
    if n != n_obs(root) or genes != len(names):
        message = f"is {n} × {genes}, but there are {n_obs(root)} cells and {len(names)} genes; write the file again"
        raise InputError(url_of(root), where, message)
    return Expression(url_of(root), where, node, form, (n, genes), names, _log_base(root), _beside(root, where))


def _slots(root: Root, layer: str | None, raw: bool) -> tuple[str | None, str, str]:
    """Return the path of the matrix, None where there is none, what it is called, and the path of its genes."""
    if raw:
        take_own(root, "raw")
        x, var = ("raw.X", "raw.var") if "raw.X" in root else ("raw/X", "raw/var")  # as anndata before 0.7 has it
        return x if x in root else None, "raw/X", var
    take_own(root, "var", "X" if layer is None else f"layers/{layer}")
    if layer is None:
        return "X" if "X" in root else None, "X", "var"
    there = "layers" in root and layer in root["layers"]
    return f"layers/{layer}" if there else None, f"layers[{layer!r}]", "var"


def has_expression(root: Root) -> bool:
    """Tell whether there is an X, a layer or raw."""
    return bool(_there(root))


def _there(root: Root) -> list[str]:
    layers = [str(name) for name in root["layers"]] if "layers" in root else []
    there = ["X"] if "X" in root and encoding(root["X"]) != "null" else []
    there += [f"layers[{name!r}]" for name in layers[:MOST_NAMES]]
    return there + (["raw"] if "raw/X" in root or "raw.X" in root else [])


def _beside(root: Root, where: str) -> tuple[str, ...]:
    return tuple(name for name in _there(root) if name not in (where, where.removesuffix("/X")))


def _others(root: Root, where: str) -> str:
    """Say which matrices there are instead."""
    there = _beside(root, where)
    return f"there is {', '.join(there)}: name one of these" if there else "it has no other expression values either"


def _log_base(root: Root) -> float | None:
    """Return the base that scanpy's `log1p` noted; it notes None for natural logarithms."""
    if "log1p" not in uns_keys(root) or is_array(root["uns/log1p"]) or "base" not in root["uns/log1p"]:
        return None
    node = root["uns/log1p/base"]
    return float(values_of(node)) if encoding(node) != "null" and node.dtype.kind in "iuf" and not node.shape else None
