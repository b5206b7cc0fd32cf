"""The embeddings of clusters' own: found in the cache or derived, those of several in one pass over the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.branches.cells import Rows, passes, rows_of_groups
from cellstrata.tasks.branches.derivation import NotDerivable, derive
from cellstrata.tasks.branches.harmony import PACKAGE as HARMONY
from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.elements.opening import InputError, Opened
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.reading import HIGHLY_VARIABLE, var_flags
from cellstrata.tasks.expression.choice import chosen_expression
from cellstrata.tasks.expression.digest import expression_digest
from cellstrata.tasks.expression.holdings import Holdings
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.inputs.batches import codes_of
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.trees.labels import label_of
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.tree import Pending

SCHEME = 1  # raise it when the same cells give another embedding
PACKAGES = ("scanpy", "anndata", "scikit-learn", "scipy", "numpy")  # whose versions can change one
Found = OwnEmbedding | NoEmbedding


@dataclass(frozen=True, kw_only=True)
class BranchRequest:
    """Embeddings to be derived: of which input, how, and of which cells, ascending numbers, each (n,) int32."""

    source: Opened = field(repr=False)
    asked: EmbeddingConfig
    groups: tuple[Rows, ...]
    names: tuple[str, ...]
    rehash: bool = False

    @classmethod
    def of(cls, source: Opened, nodes: Sequence[Pending], *, rehash: bool = False) -> BranchRequest:
        """Ask for those of some nodes of a tree, all of which are asked for in the same way."""
        asked = nodes[0].spec.neighbors.embedding.own
        assert asked is not None
        rows, names = tuple(node.node.rows for node in nodes), tuple(label_of(node.path) for node in nodes)
        return cls(source=source, asked=asked, groups=rows, names=names, rehash=rehash)


def embed_branches(request: BranchRequest, cache: Cache, refresh: bool = False) -> list[Found]:
    """Find or derive the embedding of each group of cells; returns them in their order.

    Where none can be derived, the entry says why, and is found again as others are. The file is gone through once for
    those that the cache does not have, or as often as memory for the rows of the largest group asks for.

    Raises
    ------
    InputError
        If the expression is not what `normalize` says, or is damaged. What was derived of other cells is kept.
    """
    with chosen_expression(request.source, request.asked) as expression:
        batches, given = _batches(request), _given(request)
        keys = _keys(request, cache, expression, batches, given)
        found: list[Record | None] = [None if refresh else cache.find(key, "embedding") for key in keys]
        missing = [at for at, record in enumerate(found) if record is None]
        wrong: list[str] = []
        for numbers in passes([len(request.groups[at]) for at in missing]):
            together = [missing[number] for number in numbers]
            matrices = rows_of_groups(expression, [request.groups[at] for at in together])
            request.source.check_unchanged()  # before anything is kept under the digest of what it was
            while together:  # each is let go of when it has been used
                at, matrix = together.pop(), matrices.pop()
                own = None if batches is None else batches[request.groups[at]]
                held = Holdings.of(matrix.data)
                if held.kind in ("negative", "not finite"):  # what it is is told of the whole, before any work
                    wrong.append(f"{request.names[at]} holds {held}")
                    continue
                found[at] = cache.write_record("embedding", keys[at], _body(matrix, request.asked, given, own, cache))
        if wrong:
            message = f"gives no embeddings of clusters: {', '.join(wrong)}; write `embedding: reuse` there"
            raise InputError(expression.url, expression.where, message)
    return [_found(record) for record in found if record is not None]


def _body(
    matrix: Any,
    asked: EmbeddingConfig,
    given: npt.NDArray[np.bool_] | None,
    batches: npt.NDArray[np.int32] | None,
    cache: Cache,
) -> dict[str, object]:
    """Derive an embedding and return what its entry says, the arrays in the cache, or why there is none."""
    try:
        derived = derive(matrix, asked, given, batches)
    except NotDerivable as error:
        return {"problem": str(error)}
    # Not within the record, as small arrays are: splits take rows from them.
    arrays = {"values": cache.put(derived.values).to_json(), "genes": cache.put(derived.genes).to_json()}
    return {"arrays": arrays, **({"note": derived.note} if derived.note else {})}


def _found(record: Record) -> Found:
    if (problem := record.body.get("problem")) is not None:
        return NoEmbedding(record.key, str(problem))
    note = record.body.get("note")
    return OwnEmbedding(record.key, record.array("values"), None if note is None else str(note))


def find_branches(request: BranchRequest, cache: Cache, refresh: bool = False) -> list[Found] | None:
    """Return what `embed_branches` would, if the cache has it all; None otherwise, and where X must be read to know."""
    if refresh:
        return None
    if not Remembered(cache, request.source, forget=request.rehash).knows_digest_of(request.asked.element):
        return None
    with chosen_expression(request.source, request.asked) as expression:
        keys = _keys(request, cache, expression, _batches(request), _given(request))
        records = [cache.find(key, "embedding") for key in keys]
    found = [_found(record) for record in records if record is not None]
    return found if len(found) == len(records) else None


def _keys(
    request: BranchRequest,
    cache: Cache,
    expression: Expression,
    batches: npt.NDArray[np.int32] | None,
    given: npt.NDArray[np.bool_] | None,
) -> list[str]:
    asked = request.asked
    memory = Remembered(cache, request.source, forget=request.rehash)
    digest = memory.digest_of(asked.element, lambda: expression_digest(expression))
    said = asked.model_dump(include={"method", "n_comps", "scale", "normalize"})
    if asked.method == "hvg_pca":
        said |= asked.model_dump(include={"n_top_genes", "flavor"})
    packages = [*PACKAGES, *([HARMONY] if asked.harmony else [])]
    if asked.harmony is not None:  # keys of what does not ask for it say nothing of it
        said["harmony"] = asked.harmony.model_dump()
    return [
        digest_values(
            kind="embedding",
            scheme=SCHEME,
            expression=digest,
            rows=digest_array(rows),
            asked=said,
            batches=None if batches is None else digest_array(batches[rows]),
            genes=None if given is None else digest_array(given),
            versions={name: version(name) for name in packages},
        )
        for rows in request.groups
    ]


def _given(request: BranchRequest) -> npt.NDArray[np.bool_] | None:
    """Return of which genes a PCA is made, `var['highly_variable']`; None for all, and where they are chosen."""
    if request.asked.method != "pca" or request.asked.raw:
        return None
    with request.source.root() as root:
        return var_flags(root, HIGHLY_VARIABLE)


def _batches(request: BranchRequest) -> npt.NDArray[np.int32] | None:
    key = request.asked.batch_key
    if key is None:
        return None
    with request.source.root() as root:
        take_own(root, f"obs/{key}")
        return codes_of(root, key)[0]
