"""What can be told before any work of the expression that splits are to need."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.branches.embeddings_zarr import embeddings_problem
from cellstrata.tasks.branches.harmony import harmony_problem
from cellstrata.tasks.elements.opening import DataError, InputError
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.reading import Root, obs_columns
from cellstrata.tasks.expression.choice import problem_of_values, wrong_values
from cellstrata.tasks.inputs.checks import column_hint
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.stored_graph import DEFAULT_REP


def expression_problems(source: Input, settings: ClusteringConfig) -> list[str]:
    """Say what is wrong with what the embeddings of clusters are to be derived from, a line each; a sample is read."""
    found: list[str] = []
    for asked in settings.embeddings_of_clusters:
        try:
            with source.opened.root() as root:
                found += [str(problem) for problem in _problems(root, source.url, asked)]
        except DataError as error:
            found.append(str(error))
    if settings.publish_embeddings and (problem := embeddings_problem(source.opened, source.output)) is not None:
        found.append(problem)
    return [f"{source.name}: {problem}" for problem in dict.fromkeys(found)]


def child_markers_problem(source: Input, settings: ClusteringConfig) -> str | None:
    """Say what is wrong with the values in which genes are to be found that tell children apart; a sample is read.

    Nothing where `markers` names them: then they are looked at for that.
    """
    if not settings.asks_child_markers or settings.markers is not None:
        return None
    found = problem_of_values(source.opened, settings.expression, "stop: min_markers")
    hint = "`markers` says which values the rule takes: write for example `markers: {layer: counts, normalize: true}`"
    return None if found is None else f"{source.name}: {found}; {hint}"


def embedding_notices(source: Input, settings: ClusteringConfig) -> list[str]:
    """Say what of embeddings of clusters' own a user may not have meant.

    Nothing is split on any; or levels would be split on embeddings of different kinds: one that scanpy did not make,
    and a PCA.
    """
    base, asked = source.neighbors.embedding.use_rep, settings.embedding
    if settings.hierarchy.depth == 1 and asked is not None and asked.derives:
        return ["`embedding` is for clusters below level 1, and there is no other level: add `hierarchy: 2`"]
    if settings.publish_embeddings and not settings.embeddings_of_clusters:
        return ["`publish_embeddings` is for those of clusters' own, and none are derived: add `embedding: hvg_pca`"]
    if base == DEFAULT_REP or all(each.harmony is not None for each in settings.embeddings_of_clusters):
        return []
    return [
        f"level 1 is split on {base}, and clusters below on a PCA of their own cells: what {base} was made to leave "
        "out, as batches, is in that PCA again; `embedding: reuse` keeps to one of the two, `harmony: true` with a "
        "`batch_key` takes batches out"
    ]


def _problems(root: Root, url: str, asked: EmbeddingConfig) -> Iterator[InputError]:
    if (wrong := wrong_values(root, asked, "embedding")) is not None:
        yield wrong
    if asked.harmony is not None and (problem := harmony_problem()) is not None:
        yield InputError(url, "", problem)
    if asked.batch_key is not None:
        take_own(root, "obs")
    if asked.batch_key is not None and asked.batch_key not in (there := obs_columns(root)):
        message = "`embedding` names it as `batch_key`, but there is no such column; "
        yield InputError(url, f"obs[{asked.batch_key!r}]", message + column_hint(asked.batch_key, there, there))
    if asked.method == "hvg_pca" and asked.flavor == "seurat_v3" and find_spec("skmisc") is None:
        yield InputError(url, "", "`flavor: seurat_v3` needs a package: pip install scikit-misc, or take `seurat`")
