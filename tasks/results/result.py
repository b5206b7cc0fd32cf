"""From finished trees to the published result: columns, graph, UMAP, provenance, table of labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.model import RunConfig
from cellstrata.tasks.advice.advice import SCHEME as ADVICE_SCHEME
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.colours.palette import SCHEME, color_entries, tree_palette
from cellstrata.tasks.elements.linked_anndata import refers_rightly
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.elements.ownership import is_ours
from cellstrata.tasks.elements.reading import obs_names, open_anndata
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.stored_graph import DEFAULT_REP
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.publishing.labels_parquet import has_key, write_labels_parquet
from cellstrata.tasks.publishing.link_mode import tied_to_this_machine
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.results.names import MARKERS
from cellstrata.tasks.results.provenance import column_facts, provenance, retired_ids, versions
from cellstrata.tasks.results.single_cells import nearly_all_alone
from cellstrata.tasks.results.stability import Values, cell_stability
from cellstrata.tasks.results.without_embedding import without_embedding
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.ids import Kinship, Match, new_ids_notice
from cellstrata.tasks.trees.labels import STABILITY, STABILITY_SUFFIX, column_name, level_column
from cellstrata.tasks.trees.plan import EmbeddingChoice, NeighborsSpec
from cellstrata.tasks.trees.root_graph import connectivities_matrix, distances_matrix
from cellstrata.tasks.trees.tree import Tree

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

IDS_SCHEME = 1  # raise it when ids after an earlier result are found, or told of, in another way
MARKERS_SCHEME = 1  # raise it when a result says otherwise which markers were asked for


def recorded_settings(settings: ClusteringConfig) -> dict[str, object]:
    """Return the settings of a dataset as its result records them, JSON values.

    One that is not matched says what it said before there was that key.
    """
    said = settings.model_dump(mode="json")
    return {name: value for name, value in said.items() if name != "match" or value is not None}


@dataclass(frozen=True)
class Finished:
    """What a dataset's splits came to: everything that its result is made of."""

    source: Input
    trees: tuple[Tree, ...]
    graph: str
    umap: ArrayRef | None
    configuration: Mapping[str, Any]
    link: str
    pca: ArrayRef | None = None
    advice: tuple[Advice, ...] = ()
    match: Match | None = None

    @classmethod
    def of(
        cls,
        source: Input,
        trees: list[Tree],
        graph: str,
        umap: ArrayRef | None,
        embeddings: Mapping[EmbeddingChoice, ArrayRef],
        config: RunConfig,
        advice: tuple[Advice, ...] = (),
        match: Match | None = None,
    ) -> Finished:
        """Put together what a dataset came to; secrets in the configuration are masked.

        `graph` is level 1's, empty if there was no level 1. `match` is the earlier result whose ids the trees have.
        """
        computed = [embeddings[choice] for choice, ref in source.embeddings.items() if ref is None]
        pca = max(computed, key=lambda ref: ref.shape[1], default=None)
        apart = {"DATASETS", "defaults", "storage_options", "refresh", "rehash", "figures", "images", "report"}
        whole = config.model_dump(mode="json", exclude=apart)
        own = config.DATASETS[source.dataset].model_dump(mode="json")
        own["clustering"] = recorded_settings(config.DATASETS[source.dataset].clustering)
        return cls(
            source,
            tuple(trees),
            graph,
            umap,
            whole | {"dataset": source.dataset, **own},
            config.link,
            pca,
            advice,
            match,
        )

    @property
    def asked_markers(self) -> dict[str, object] | None:
        """What the result says of the marker genes that are asked for: their table beside it, and how they are found.

        They are found after the result is published, so it has none of their numbers.
        """
        asked = self.configuration["clustering"]["markers"]
        return asked and {"table": MARKERS, "version": installed_version("cellstrata") or "", **asked}

    def notices(self) -> list[str]:
        """Return what the user should know of the trees: cells without a parent, clusters that do not exist."""
        tied = [
            f"the result in {self.source.output} refers to data on this machine; `link: copy`, or `cellstrata "
            "materialize`, makes one that others can read in whole"
        ] * tied_to_this_machine(source=self.source.url, target=self.source.output, asked=self.link)
        without = [
            f"{n} cells have no label in {tree.given.column}, and get none below it"
            for tree in self.trees
            if tree.given is not None and (n := int((tree.codes < 0).sum()))
        ]
        return (
            tied
            + without
            + self._fallbacks()
            + self._new_ids()
            + [notice for tree in self.trees if (notice := nearly_all_alone(tree))]
            + [notice for tree in self.trees if (notice := without_embedding(tree))]
            + [
                f"{tree.plan.name}: the hierarchy names {', '.join(unknown)}, which "
                f"{'is no cluster' if len(unknown) == 1 else 'are no clusters'} there"
                for tree in self.trees
                if (unknown := tree.plan.unknown_clusters(set(tree.outcomes)))
            ]
        )

    def _new_ids(self) -> list[str]:
        kin: dict[str, list[Kinship]] = {}
        for tree in self.trees:
            for path, one in _kin(tree):
                kin.setdefault(column_name(tree.plan.algorithm, tree.plan.resolution, len(path)), []).append(one)
        said = None if self.match is None else new_ids_notice(self.match, kin)
        return [] if said is None else [said]

    def _fallbacks(self) -> list[str]:
        reasons = [
            outcome.facts.fallback
            for tree in self.trees
            for outcome in tree.outcomes.values()
            if outcome.facts and outcome.facts.fallback
        ]
        if not reasons:
            return []
        more = f" and {len(set(reasons)) - 1} more reasons" if len(set(reasons)) > 1 else ""
        splits = f"{len(reasons)} split{'s'[: len(reasons) != 1]}"
        return [f"the CPU repeated {splits} that a GPU was asked for: {reasons[0]}{more}; `explain` tells of each"]

    def key(self) -> str:
        """Identify the result: it depends on the input, the labels, what is added, and how it is linked."""
        return digest_values(
            input=self.source.identity,
            trees=[[tree.plan.name, *_leaves_in_order(tree)] for tree in self.trees],
            graph=self.graph,
            umap=self.umap and self.umap.digest,
            pca=self.pca and self.pca.digest,
            configuration=self.configuration,
            versions=versions(),
            link=self.link,
            colors=SCHEME,
            **({"advice": [ADVICE_SCHEME, *map(Advice.to_json, self.advice)]} if self.advice else {}),
            **({"markers": MARKERS_SCHEME} if self.asked_markers else {}),
            **({"ids": self._ids(self.match)} if self.match else {}),
            **({"left_out": sorted(self.source.earlier_columns)} if self.source.earlier_columns else {}),
        )

    def _ids(self, match: Match) -> list[object]:
        """What the ids are, and what is said of them; not of when the earlier result was written, so that a run which
        changes nothing writes nothing."""
        kin = [[tree.label(path), vars(one)] for tree in self.trees if tree.ids for path, one in _kin(tree)]
        return [IDS_SCHEME, kin, sorted(retired_ids(self.trees, match).items()), match.shared, match.only_there]


def _kin(tree: Tree) -> list[tuple[tuple[int, ...], Kinship]]:
    return sorted(tree.ids.kin.items()) if tree.ids else []


def _leaves_in_order(tree: Tree) -> tuple[str, list[str]]:
    """Digest which leaf each cell is in, and name the leaves, in an order that does not tell which split came first."""
    order = sorted(range(len(tree.leaves)), key=lambda number: tree.numbered(tree.leaves[number]))
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1  # the last is for cells without a leaf
    return digest_array(place[tree.codes]), [tree.label(tree.leaves[number]) for number in order]


def columns(trees: tuple[Tree, ...]) -> dict[str, pd.Categorical]:
    """Return the obs columns of the trees, categoricals of strings of length n."""
    return {
        column_name(tree.plan.algorithm, tree.plan.resolution, level): level_column(
            tree.codes, tree.leaves, level, tree.label, tree.numbered
        )
        for tree in trees
        for level in tree.levels
    }


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published result: where it and its table of labels are, and its columns.

    `clusters` is how many each column has, in their order; `modularity` that of each column of level 1, None
    where its split was not tried. `written` is False where exactly this result, of this `key`, stood there.
    """

    output: str
    labels: str
    clusters: Mapping[str, int]
    modularity: Mapping[str, float | None]
    written: bool
    key: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Its obs columns, in their order."""
        return tuple(self.clusters)


def publish_result(finished: Finished, cache: Cache) -> Published:
    """Write the result and its table of labels, unless exactly this result stands there already."""
    source, key = finished.source, finished.key()
    facts = column_facts(finished.trees)
    published = Published(
        output=source.output,
        labels=source.labels,
        clusters={name: fact.n_clusters or 0 for name, fact in facts.items()},
        modularity={name: fact.modularity for name, fact in facts.items() if fact.level == 1},
        written=False,
        key=key,
    )
    place = source.opened.place
    output, table = place.at(source.output), place.at(source.labels)
    older = older_record(output)
    there = older.get("publish_key") == key and has_key(table, key)
    if there and refers_rightly(output):
        return published
    labels = columns(finished.trees)
    gone = source.earlier_columns - set(labels)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    obsm, obsp, uns = computed_elements(finished, cache)
    stability = cell_stability(finished.trees, cache)
    record = provenance(
        finished.configuration, source.identity, finished.trees, neighbors_key=source.neighbors_key,
        graph=finished.graph, publish_key=key, created=created, stability=list(stability), advice=finished.advice,
        markers=finished.asked_markers, match=finished.match,
    )  # fmt: skip
    uns |= {"clustering": record} | color_entries(tree_palette(record["tree"], facts), labels)
    same_input = older.get("command") == "run" and older.get("input") == json.dumps(source.identity, sort_keys=True)
    reuse = source.output if same_input and source.opened.kind == "h5ad" else None
    publish(
        source.opened, output, obs={**labels, **stability_in_obs(finished, stability)},
        obsm=obsm | stability_in_obsm(stability), obsp=obsp, uns=uns, link=finished.link, reuse=reuse,
        left_out=gone,
        removed=[*(f"uns/{name}_colors" for name in gone), f"obsm/{STABILITY}"],
    )  # fmt: skip
    with source.opened.root() as root:
        names = obs_names(root)
    write_labels_parquet(table, names, labels, key=key)
    return replace(published, written=True)


def stability_in_obsm(stability: Mapping[str, Values]) -> dict[str, np.ndarray]:
    """Return the entry of obsm that has the stability of each cell, (n, columns) float32; none for single runs."""
    return {STABILITY: np.column_stack(list(stability.values()))} if stability else {}


def stability_in_obs(finished: Finished, stability: Mapping[str, Values]) -> dict[str, Values]:
    """Return the same as columns of obs, where the dataset asks for these."""
    asked = finished.configuration["clustering"]["stability"] == "obs"
    return {f"{name}{STABILITY_SUFFIX}": values for name, values in stability.items()} if asked else {}


def computed_elements(
    finished: Finished, cache: Cache
) -> tuple[dict[str, np.ndarray], dict[str, sp.csr_matrix], dict[str, object]]:
    """Return the obsm, obsp and uns entries of what was computed: PCA, UMAP and level 1's graph."""
    found = {DEFAULT_REP: finished.pca, "X_umap": finished.umap}
    obsm = {name: np.asarray(cache.get(ref)) for name, ref in found.items() if ref is not None}
    return obsm, *_graph_elements(finished, cache)


def _graph_elements(finished: Finished, cache: Cache) -> tuple[dict[str, sp.csr_matrix], dict[str, Any]]:
    source = finished.source
    if source.stored_graph is not None or not finished.graph:
        return {}, {}
    key, prefix = (
        source.neighbors_key,
        "" if source.neighbors_key == "neighbors" else f"{source.neighbors_key}_",
    )
    names = {what: f"{prefix}{what}" for what in ("connectivities", "distances")}
    neighbors = _root_neighbors(finished)
    params: dict[str, object] = {
        "method": "umap",
        "metric": neighbors.metric,
        "n_neighbors": neighbors.n_neighbors,
        "use_rep": neighbors.embedding.use_rep,
    }
    if neighbors.embedding.n_pcs is not None:
        params["n_pcs"] = neighbors.embedding.n_pcs
    matrices = {
        names["connectivities"]: connectivities_matrix(cache, finished.graph),
        names["distances"]: distances_matrix(cache, finished.graph, neighbors.n_neighbors),
    }
    entry = {
        "connectivities_key": names["connectivities"],
        "distances_key": names["distances"],
        "params": params,
    }
    return matrices, {key: entry}


def _root_neighbors(finished: Finished) -> NeighborsSpec:
    for tree in finished.trees:
        decision = tree.plan.decide((), tree.plan.n_cells)
        if not isinstance(decision, str):
            return decision.neighbors
    return finished.source.neighbors


def older_record(output: Place) -> dict[str, str]:
    """Return what an older result of ours says of itself, texts by the names of `provenance`; else nothing."""
    if not is_ours(output):
        return {}
    try:
        with open_anndata(output) as root:
            record = root["uns/clustering"]
            return {name: str(record[name][()]) for name in record if name != "tree"}
    except (DataError, KeyError):  # it was interrupted, or is damaged, and is made anew
        return {}
