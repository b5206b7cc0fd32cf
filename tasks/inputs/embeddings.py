"""The embeddings that an input holds: read, checked, put in the cache, and remembered."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.centring import is_wide, read_narrowed
from cellstrata.tasks.elements.hdf5_filters import check_filters
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.inputs.checks import Check
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.inputs.stored_graph import DEFAULT_REP
from cellstrata.tasks.trees.labels import STABILITY
from cellstrata.tasks.trees.plan import EmbeddingChoice

TOO_LARGE = 1e15  # of an embedding: squared distances must stay far below the largest float32, 3e38


@dataclass(frozen=True)
class FoundEmbedding:
    """An embedding's (n, d) float32 values, or where the cache has them; neither for a PCA that has to
    be computed. `memory` is the key under which it is to be remembered."""

    values: np.ndarray | None = None
    ref: ArrayRef | None = None
    memory: str | None = None
    notices: tuple[str, ...] = ()


def read_embeddings(
    check: Check,
    choices: Iterable[EmbeddingChoice],
    n_cells: int,
    memory: Remembered,
    by_angle: Collection[EmbeddingChoice] = (),
) -> dict[EmbeddingChoice, FoundEmbedding]:
    """Find each embedding that is needed: remembered, or read and checked.

    Those `by_angle`, of which cosines are taken, are never centred.
    """
    choices = list(choices)
    with reading(check.url, "obsm"):
        take_own(check.root, *(_element(choice) for choice in choices))
        there, odd = elements.obsm_shapes(check.root), elements.odd_obsm(check.root)
    if others := [name for name in odd if name not in {choice.use_rep for choice in choices}]:
        check.notices.append(
            f"of obsm {', '.join(map(repr, others))} cannot be told what it is (an unknown encoding, or a `/` in a "
            "name): it is left as it is"
        )
    found: dict[EmbeddingChoice, FoundEmbedding] = {}
    for choice in choices:
        if choice.use_rep == DEFAULT_REP and choice.use_rep not in there and elements.has_x(check.root):
            check.notices.append("obsm['X_pca'] is not there: a PCA of X is computed")
            check_filters(check.url, "X", check.root["X"])
            found[choice] = FoundEmbedding()
            continue
        if choice.use_rep in odd:
            message = "is an element of an unknown encoding, or a group of others that have a `/` in their names; "
            check.wrong(f"obsm[{choice.use_rep!r}]", message + check.wording.neighbors_key("use_rep"))
            continue
        if choice.use_rep != "X" and choice.use_rep not in there:
            offered = [name for name in there if name != STABILITY]  # what an earlier run left is no embedding
            near = difflib.get_close_matches(choice.use_rep, offered, 1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            has = f"it has {', '.join(offered)}" if offered else "it has none"
            key, fix = f"obsm[{choice.use_rep!r}]", check.wording.neighbors_key("use_rep")
            check.wrong(key, f"there is no such embedding; {has}; {hint}{fix}")
            continue
        # What was remembered of wide numbers before they were centred is not meant.
        wide = {"centre": choice not in by_angle} if is_wide(check.root, choice.use_rep) else {}
        place = memory.key([_element(choice)], embedding=str(choice), **wide)
        recalled = memory.recall(place)
        if recalled is not None and recalled["arrays"]["embedding"]["shape"][0] == n_cells:
            check.notices.extend(recalled.get("notices", ()))
            found[choice] = FoundEmbedding(ref=ArrayRef.from_json(recalled["arrays"]["embedding"]))
            continue
        before = len(check.notices)
        if (values := _read(check, choice, n_cells, centre=choice not in by_angle)) is not None:
            found[choice] = FoundEmbedding(values, memory=place, notices=tuple(check.notices[before:]))
    return found


def stage(found: FoundEmbedding, cache: Cache, memory: Remembered) -> ArrayRef | None:
    """Put an embedding in the cache, unless it is there, and remember it."""
    if found.values is None:
        return found.ref
    ref = cache.put(found.values)
    said: dict[str, object] = {"notices": list(found.notices)} if found.notices else {}
    memory.learn(found.memory, {"arrays": {"embedding": ref.to_json()}, **said})
    return ref


def _element(choice: EmbeddingChoice) -> str:
    return "X" if choice.use_rep == "X" else f"obsm/{choice.use_rep}"


@np.errstate(over="ignore", invalid="ignore")  # what is no float32 becomes infinite, and is refused
def _read(check: Check, choice: EmbeddingChoice, n_cells: int, *, centre: bool) -> np.ndarray | None:
    key = "X" if choice.use_rep == "X" else f"obsm[{choice.use_rep!r}]"
    with reading(check.url, key):
        if choice.use_rep == "X":
            values = np.asarray(_dense(elements.read_x(check.root)), dtype=np.float32)
        else:
            narrowed = read_narrowed(check.root, choice.use_rep, centre=centre)
            values = narrowed.values
            if narrowed.centred:
                check.notices.append(
                    f"{key} lies so far from the origin that float32 is too coarse: it is centred first"
                )
            if narrowed.fallen:
                check.notices.append(
                    f"{key}: {narrowed.fallen} rows differ from others by less than float32 can tell, and fall together"
                )
    if choice.n_pcs is not None and choice.n_pcs > values.shape[1]:
        check.wrong(key, f"has {values.shape[1]} columns, fewer than `neighbors.n_pcs: {choice.n_pcs}`")
        return None
    values = np.ascontiguousarray(values[:, : choice.n_pcs])
    bad = np.flatnonzero(~(np.abs(values) < TOO_LARGE).all(1)) if values.size else np.empty(0, int)
    if values.shape[0] != n_cells:
        check.wrong(key, f"has {values.shape[0]} rows, but obs has {n_cells}: write it again for these cells")
    elif not values.shape[1]:
        check.wrong(key, f"has no columns: {check.wording.neighbors_key('use_rep')}")
    elif len(bad):
        check.wrong(
            key,
            f"has NaN, infinite or too large values in {len(bad)} cells (the first is row {bad[0]}): "
            "remove or mend them",
        )
    else:
        return values
    return None


def _dense(matrix: object) -> object:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix
