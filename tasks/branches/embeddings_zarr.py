"""The embeddings of clusters' own beside a result: one zarr, in which each is an AnnData of the cluster's cells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.elements.consolidated import consolidate
from cellstrata.tasks.elements.conversion import encoding_of, with_plain_strings
from cellstrata.tasks.elements.opening import Opened, zarr_store
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.ownership import is_foreign, is_ours
from cellstrata.tasks.elements.reading import obs_names
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.expression.source import find_expression
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.publishing.input_elements import OutputError, copy_objects
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.publishing.upload import put_zarr
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.local_disk import scratch_folder, staged_folder
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store, join
from cellstrata.tasks.trees.labels import Path as ClusterPath
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.own_embedding import OwnEmbedding
from cellstrata.tasks.trees.tree import Tree

SCHEME = 1  # raise it when the same embeddings are to be written in another way
RECORD = "uns/clustering"  # where every zarr of ours says so


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterEmbedding:
    """The embedding of a cluster: which column and label it has, its cells' numbers, (n,), how it was derived."""

    column: str
    cluster: str
    rows: npt.NDArray[np.int64]
    asked: EmbeddingConfig
    own: OwnEmbedding

    @property
    def group(self) -> str:
        """Where it is in the zarr: `leiden_0.5_1/3`. A label may be any text where the input had the column."""
        name = self.cluster.replace("%", "%25").replace("/", "%2F")
        return f"{self.column}/{'%' + name if name.startswith(('.', '__')) else name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingsRequest:
    """Which embeddings are to be written beside a result, and of which input; `publish_key` is the result's."""

    source: Opened = field(repr=False)
    output: str
    publish_key: str
    found: tuple[ClusterEmbedding, ...]

    @property
    def place(self) -> Place:
        """Where they go: beside the labels."""
        return embeddings_place(self.source, self.output)

    @property
    def key(self) -> str:
        """What tells whether exactly these stand there."""
        each = [[one.group, one.own.key] for one in self.found]
        return digest_values(kind="embeddings", scheme=SCHEME, result=self.publish_key, embeddings=each)


def embeddings_place(source: Opened, output: str) -> Place:
    """Return where the embeddings of a result's clusters are."""
    return source.place.at(join(output.removesuffix(".zarr"), "embeddings.zarr"))


def cluster_embeddings(trees: Sequence[Tree]) -> tuple[ClusterEmbedding, ...]:
    """Return the embeddings that were derived for clusters of some trees, by tree and path."""
    found = []
    for tree in trees:
        for path in sorted(tree.outcomes):
            outcome = tree.outcomes[path]
            if isinstance(own := outcome.own, OwnEmbedding) and outcome.spec is not None:
                asked = outcome.spec.neighbors.embedding.own
                assert asked is not None
                column = column_name(tree.plan.algorithm, tree.plan.resolution, len(path))
                rows, label = _rows(tree, path), tree.label(path)
                found.append(ClusterEmbedding(column=column, cluster=label, rows=rows, asked=asked, own=own))
    return tuple(found)


def embeddings_problem(source: Opened, output: str) -> str | None:
    """Say what stands where the embeddings would be written and was not made by cellstrata, before any work."""
    place = embeddings_place(source, output)
    if not is_foreign(place):
        return None
    message = "stands where `publish_embeddings` writes, and was not made by cellstrata: move it away"
    return str(OutputError(place.url, "", message))


def write_embeddings(request: EmbeddingsRequest, cache: Cache) -> str | None:
    """Write the embeddings beside a result, whole or not at all, unless exactly these stand there; returns the URL.

    None where there are none: then those of other clusters do not stay there either.

    Raises
    ------
    DamagedEntry
        If one of them is gone from the cache, or has other cells than its cluster.
    OutputError
        If something that is not ours stands there, or it cannot be written.
    """
    place = request.place
    if not request.found:
        remove_embeddings(request.source, request.output)
        return None
    if is_foreign(place):
        raise OutputError(place.url, "", "was not made by cellstrata and is left alone; move it away")
    if _key_of(place) == request.key:
        return place.url
    target = place.store
    workplace: AbstractContextManager[Path] = staged_folder(Path(target.root)) if place.is_local else scratch_folder()
    with quiet(), workplace as staged:
        _build(request, cache, staged)
        request.source.check_unchanged()
        if not place.is_local:
            local = Store(str(staged))
            put_zarr(target, sorted(local.walk()), lambda keys, to: copy_objects(local, keys, to))
    return place.url


def remove_embeddings(source: Opened, output: str) -> bool:
    """Remove embeddings of ours beside a result; tells whether there were any."""
    place = embeddings_place(source, output)
    if not is_ours(place):
        return False
    place.store.remove("")
    return True


def _build(request: EmbeddingsRequest, cache: Cache, staged: Path) -> None:
    with request.source.root() as opened:
        take_own(opened, "obs")
        names = np.array(obs_names(opened), dtype=object)
        asked = {one.asked.element: one.asked for one in request.found}
        genes = {name: find_expression(opened, layer=of.layer, raw=of.raw).genes for name, of in asked.items()}
    store, mapping = StagedStore(staged), dict[str, Any](encoding_of("dict"))
    root = zarr.open_group(store, mode="w", zarr_format=2, attributes=mapping)
    _write(root, "uns", {"clustering": {"made_by": MADE_BY, "key": request.key, "publish_key": request.publish_key}})
    for one in request.found:
        column = one.group.partition("/")[0]
        if column not in root:
            root.create_group(column, attributes=mapping)
        _write_one(root, one, names, genes[one.asked.element], cache)
    consolidate(store, request.place.url)


def _write_one(root: zarr.Group, one: ClusterEmbedding, names: Any, genes: Any, cache: Cache) -> None:
    """Write an AnnData without X: obs and var are the names of cells and chosen genes, obsm has the embedding."""
    with IMPORTING:
        import pandas as pd

    record = cache.find(one.own.key, "embedding")
    if record is None or record.arrays()["values"].shape[0] != len(one.rows):
        raise DamagedEntry(f"the embedding of {one.group} is gone from {cache.store.url} since it was derived")
    attributes = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
    group = root.create_group(one.group, attributes=attributes)
    _write(group, "obs", pd.DataFrame(index=pd.Index(names[one.rows], dtype=object)))
    _write(group, "var", pd.DataFrame(index=pd.Index(genes[cache.array(record, "genes")], dtype=object)))
    _write(group, "obsm", {"X_pca": np.asarray(cache.array(record, "values"))})
    said = {"column": one.column, "cluster": one.cluster, "derived": str(one.asked), "key": one.own.key}
    _write(group, "uns", {"embedding": said | ({"note": one.own.note} if one.own.note else {})})


def _write(group: zarr.Group, name: str, value: object) -> None:
    with IMPORTING:
        from anndata.io import write_elem

    write_elem(group, name, with_plain_strings(value))


def _rows(tree: Tree, path: ClusterPath) -> npt.NDArray[np.int64]:
    inside = np.array([*(leaf[: len(path)] == path for leaf in tree.leaves), False])  # -1 finds the last
    return np.flatnonzero(inside[tree.codes])


def _key_of(place: Place) -> str | None:
    """Return the key of the embeddings that stand at a place, None where there are none or they are not whole."""
    try:
        with quiet():
            root: Any = zarr.open_group(zarr_store(place.store), mode="r")
            return str(root[f"{RECORD}/key"][()])
    except (OSError, ValueError, KeyError, TypeError):
        return None
