"""The expression values of an AnnData in memory, as they lie there: nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from cellstrata.configs.expression import ExpressionConfig
from cellstrata.tasks.elements.in_memory import NAME, held, log_base_of, x_of
from cellstrata.tasks.expression.source import MOST_NAMES, Expression
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import anndata as ad


def adata_expression(adata: ad.AnnData, asked: ExpressionConfig) -> Expression:
    """Return X, a layer, or X of `raw` of an AnnData; one that is backed by a file is taken into memory.

    Raises
    ------
    InputError
        If it is not there, is empty, or holds no numbers.
    """
    where = "raw/X" if asked.raw else "X" if asked.layer is None else f"layers[{asked.layer!r}]"
    there = _there(adata)
    others = tuple(name for name in there if name not in (where, where.removesuffix("/X")))
    instead = f"there is {', '.join(others)}: name one of these" if others else "it has no other expression values"
    value = adata.raw.X if asked.raw and adata.raw is not None else None
    if not asked.raw:
        value = x_of(adata) if asked.layer is None else adata.layers.get(asked.layer)
    if value is None:
        raise InputError(NAME, where, f"is not there; {instead}")
    matrix = held(value)
    if 0 in matrix.shape:
        raise InputError(NAME, where, f"is empty, {matrix.shape[0]} × {matrix.shape[1]}; {instead}")
    node: Any = matrix
    if sp.issparse(matrix):
        node = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    form: Any = matrix.format if sp.issparse(matrix) else "dense"
    if matrix.dtype.kind not in "biuf":
        raise InputError(NAME, where, f"is no matrix of numbers; {instead}")
    genes = np.asarray(adata.raw.var_names if asked.raw else adata.var_names, dtype=object)
    return Expression(NAME, where, node, form, matrix.shape, genes, log_base_of(adata), others)


def _there(adata: ad.AnnData) -> list[str]:
    layers = [f"layers[{name!r}]" for name in [each for each in adata.layers if each is not None][:MOST_NAMES]]
    x = ["X"] if x_of(adata) is not None else []
    return [*x, *layers, *(["raw"] if adata.raw is not None else [])]
