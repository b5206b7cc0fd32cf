"""How one dataset is clustered: the keys under `clustering`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from cellstrata.configs.cluster_ids import TreeId
from cellstrata.configs.clustering_args import check, folded
from cellstrata.configs.contradictions import contradictions
from cellstrata.configs.embedding import AskedEmbedding, EmbeddingConfig
from cellstrata.configs.errors import ConfigError, Problem, did_you_mean, one_of, shown
from cellstrata.configs.evidence import AUTO, NEVER, AskedEvidence, AskedStop, StopRules
from cellstrata.configs.expression import ExpressionConfig
from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.configs.hierarchy_schema import HIERARCHY_SCHEMA
from cellstrata.configs.markers import AskedMarkers
from cellstrata.configs.match import AskedMatch
from cellstrata.configs.neighbors import AskedNeighbors, NeighborsConfig
from cellstrata.configs.values import (
    CountFromZero,
    Gpu,
    Iterations,
    NothingIsEmpty,
    Runs,
    Share,
    Switch,
    Text,
    TextList,
    each_once,
    one_word_of,
    positive_number,
    refuse,
    text_keys,
)
from cellstrata.configs.wording import problems_in

ALGORITHMS = ("leiden", "louvain")
ENGINES = ("cellstrata", "igraph", "leidenalg", "libreville", "rapids")
SWEEP = "auto"  # in the place of resolutions

STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PlotsConfig(BaseModel):
    """Further figures."""

    model_config = STRICT

    colors: TextList = Field(default_factory=list, description="Further obs columns or genes to colour UMAPs by.")
    plot_centroids: TextList = Field(
        default_factory=list, description="Further obs columns whose labels are written at their centroids."
    )


def _algorithms(value: object) -> object:
    def known(word: object) -> str:
        if isinstance(word, str) and word in ALGORITHMS:
            return word
        message = f"must be {one_of(ALGORITHMS)} (or a list of both), not {shown(word)}"
        raise refuse(message, did_you_mean(word, ALGORITHMS))

    kept = each_once(value, known)
    return kept or _empty("leiden")


def _resolutions(value: object) -> object:
    if value == SWEEP:
        return value
    if isinstance(value, str) and (near := did_you_mean(value, [SWEEP])):
        raise refuse(f"must be a number, a list of numbers or `{SWEEP}`, not {shown(value)}", near)
    if isinstance(value, Mapping):
        raise refuse("must be a number or a list of numbers, not a mapping", "per cluster: see `hierarchy`")
    return each_once(value, positive_number) or _empty("0.2, 0.5, 1.0")


def _empty(example: str) -> object:
    raise refuse("is an empty list", f"write for example [{example}]")


def _engine(value: object) -> object:
    if value is None or value in ENGINES:
        return value
    raise refuse(f"must be {one_of(ENGINES)}, not {shown(value)}", did_you_mean(value, ENGINES))


def _spelled(hierarchy: Hierarchy, info: SerializationInfo) -> object:
    return text_keys(hierarchy.spelling) if info.mode == "json" else copy.deepcopy(hierarchy.spelling)


class ClusteringConfig(BaseModel):
    """The keys under `clustering` of a dataset, and under `defaults.clustering`."""

    model_config = STRICT

    algorithm: Annotated[list[Literal["leiden", "louvain"]], BeforeValidator(_algorithms)] = Field(
        description="`leiden`, `louvain`, or a list of both."
    )
    resolutions: Annotated[list[float] | Literal["auto"], BeforeValidator(_resolutions)] = Field(
        description="Resolutions to cluster at, each greater than 0: a list, or a single number. `auto`: those that "
        "a sweep of level 1 advises."
    )
    seed: CountFromZero = Field(0, description="Seed of the partition.")
    neighbors_key: Text | None = Field(
        None,
        description="Stored graph, by its key in `uns`. Default: `neighbors` if there, else a new graph.",
    )
    neighbors: AskedNeighbors = Field(
        default_factory=NeighborsConfig,
        description="How graphs are built, on request and at deeper levels; `false`: only the stored graph.",
    )
    recompute_neighbors: Switch = Field(False, description="Build a new graph even if one is stored.")
    hierarchy: Annotated[
        Hierarchy,
        PlainValidator(Hierarchy.parse),
        PlainSerializer(_spelled),
        WithJsonSchema(HIERARCHY_SCHEMA),
    ] = Field(
        default_factory=Hierarchy,
        description="Sub-clustering: a depth, the clusters to split, or levels and clusters that differ.",
    )
    embedding: AskedEmbedding = Field(
        None,
        description="Embedding on which clusters below level 1 are split: `reuse` (the default), or one derived from "
        "the expression of each cluster's own cells: `pca`, `hvg_pca`, or a mapping.",
    )
    publish_embeddings: Switch = Field(
        False,
        description="true: the embeddings that are derived for clusters are written to `embeddings.zarr` beside the "
        "result's labels.",
    )
    recompute_umap: Switch = Field(False, description="Compute a new UMAP even if one is stored.")
    umap_colors: TextList = Field(
        default_factory=list,
        description="Obs columns or genes to colour UMAPs by, and to evaluate clusters against.",
    )
    use_gpu: Gpu = Field(
        False, description="true: a GPU when one is there; `required`: fail without one; false: CPUs only."
    )
    n_cell_cpu: CountFromZero = Field(100_000, description="A split of fewer cells is the CPU's, at every level.")
    gpu_check: Share = Field(
        0.0, description="Share of the GPU's splits, 0 to 1, that is also computed on the CPU and compared."
    )
    engine: Annotated[Text | None, BeforeValidator(_engine)] = Field(
        None,
        description="`cellstrata` (our own), `igraph`, `leidenalg` or `libreville` "
        "(`pip install 'cellstrata[fast]'`): CPUs only, also under `use_gpu`. "
        "`rapids` is the GPU's. Default: cellstrata, and rapids where a GPU is used.",
    )
    n_iterations: Iterations = Field(2, description="Iterations of Leiden; -1: until nothing changes.")
    ensemble: Runs = Field(
        "auto",
        description="Runs of Leiden that are joined into one partition, each with a seed of its own; `auto`: 3, and 8 "
        "if they do not agree. Louvain is always a single run.",
    )
    stability: Annotated[Literal["obsm", "obs"], one_word_of(("obsm", "obs"))] = Field(
        "obsm",
        description="Where the result has the stability of each cell: `obsm` (one array), or `obs` too, a column for "
        "each column of clusters.",
    )
    evidence: AskedEvidence = Field(
        None,
        description="Evidence for each split: true, or how many `halves` and `null` clouds. Halves of its cells are "
        "clustered apart and compared, and so are those of clouds without groups.",
    )
    stop: AskedStop = Field(
        None,
        description="What a split needs to stand, else its cells stay whole: `auto`, or `replicability`, `excess`, "
        "`p`, `min_children_cells`, `min_donors`, `agreement`, `min_markers`. Default: nothing, or `auto` under "
        "`until_stable`.",
    )
    batch_keys: TextList = Field(
        default_factory=list,
        description="Obs columns of donors and batches: how each cluster is spread over them is told.",
    )
    markers: AskedMarkers = Field(
        None,
        description="Marker genes of every cluster, against its sisters and against all other cells: true, or how and "
        "from which values. They are written to `markers.parquet` beside the result's labels.",
    )
    match: AskedMatch = Field(
        None,
        description="Result of an earlier run, a zarr or the `output_dir` that has it: clusters keep the ids that they "
        "have there, by the cells that both share, and new ones get new ids. Default: clusters are numbered by size.",
    )
    clustering_args: Annotated[dict[str, bool], BeforeValidator(check)] = Field(
        default_factory=dict,
        description="Other keys as the ancestor spells them: resolution, n_iterations, seed or random_state, "
        "flavor (the engine), use_weights. They go over those keys.",
    )
    max_cluster_factor: CountFromZero = Field(
        50,
        description="More clusters than this times the resolution: the CPU repeats what a GPU did.",
    )
    min_cells: CountFromZero = Field(0, description="Clusters with fewer cells are left whole.")
    overwrite: Switch = Field(True, description="false: keep a column of the same name that the input already has.")
    plots: Annotated[PlotsConfig, NothingIsEmpty] = Field(default_factory=PlotsConfig, description="Further figures.")

    @property
    def listed_resolutions(self) -> tuple[float, ...]:
        """The resolutions that are asked for; empty where a sweep is to find them."""
        return () if isinstance(self.resolutions, str) else tuple(self.resolutions)

    @property
    def use_weights(self) -> bool:
        """Whether edges count by their weight."""
        return self.clustering_args.get("use_weights", True)

    @property
    def stop_rules(self) -> StopRules:
        """The rules of splits that have none of their own."""
        return self.stop or (AUTO if self.hierarchy.until_stable else NEVER)

    @property
    def asks_evidence(self) -> bool:
        """Whether halves of any split may be clustered; a sweep clusters those of level 1."""
        rules = [self.stop_rules, *self.hierarchy.all_rules()]
        return self.evidence is not None or not self.listed_resolutions or any(each.asks_halves for each in rules)

    @property
    def asks_child_markers(self) -> bool:
        """Whether a rule asks for genes that tell children apart."""
        return any(each.asks_markers for each in (self.stop_rules, *self.hierarchy.all_rules()))

    @property
    def expression(self) -> ExpressionConfig:
        """The values in which such genes are found: those of the marker genes, else `X`."""
        return self.markers or ExpressionConfig()

    @property
    def uses_embedding(self) -> bool:
        """Whether an embedding is used even where level 1 is split on a stored graph."""
        return self.hierarchy.depth > 1 or self.asks_evidence

    @property
    def reuses_embedding(self) -> bool:
        """Whether that is one of all cells: not where all clusters are split on embeddings of their own."""
        below = self.hierarchy.below_level_1()
        return self.asks_evidence or any(own.own_embedding(self.embedding) is None for own in below)

    @property
    def embeddings_of_clusters(self) -> list[EmbeddingConfig]:
        """The embeddings that are derived from the cells of clusters, each once."""
        return self.hierarchy.embeddings(self.embedding)

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, data: object, handler: ModelWrapValidatorHandler[ClusteringConfig]) -> ClusteringConfig:
        if not isinstance(data, Mapping):
            return handler(data)
        data = folded({str(key): value for key, value in data.items()})
        problems = contradictions(data)
        try:
            config = handler(data)
        except ValidationError as error:
            raise ConfigError([*problems_in(error, cls), *problems]) from None
        if problems := [
            *problems,
            *_trees_not_made(config),
            *_without_end(config),
            *_of_level_1(config),
            *_by_size(config),
        ]:
            raise ConfigError(problems)
        return config


def _trees_not_made(config: ClusteringConfig) -> list[Problem]:
    if not config.listed_resolutions:
        return _against_a_sweep(config)
    trees = [TreeId(algorithm, number) for algorithm in config.algorithm for number in config.listed_resolutions]
    found = []
    for tree in config.hierarchy.of_trees:
        if tree not in trees:
            made = did_you_mean(str(tree), [str(each) for each in trees])
            suggestion = made or f"this dataset has {', '.join(map(str, trees))}"
            found.append(Problem(("hierarchy",), f"names clusters of {tree}, which is not computed", suggestion))
    return found


def _against_a_sweep(config: ClusteringConfig) -> list[Problem]:
    found = []
    hierarchy, first = config.hierarchy, config.hierarchy.parameters(())
    if hierarchy.of_trees:
        named = ", ".join(map(str, hierarchy.of_trees))
        message = f"names clusters of {named}, but `resolutions: {SWEEP}` is yet to find the resolutions"
        found.append(Problem(("hierarchy",), message, "list them, or name clusters of every tree"))
    if first is not None and first.resolution is not None:
        message = f"sets level 1's resolution, which `resolutions: {SWEEP}` is to find"
        found.append(Problem(("hierarchy",), message, "leave one of the two out"))
    if not config.overwrite:
        message = f"false needs to know the columns, which `resolutions: {SWEEP}` is yet to find"
        found.append(Problem(("overwrite",), message, "list the resolutions"))
    return found


def _without_end(config: ClusteringConfig) -> list[Problem]:
    found = []
    if config.hierarchy.until_stable and not config.stop_rules.ends_trees:
        message = "contradicts `hierarchy: until_stable`, which it would not end"
        found.append(
            Problem(("stop",), message, "leave it out, or ask for `replicability`, `excess`, `p` or `min_markers` too")
        )
    if config.hierarchy.until_stable and not config.overwrite:
        message = "false contradicts `hierarchy: until_stable`: how many levels there will be is not known"
        found.append(Problem(("overwrite",), message, "leave it out, or name a number of levels"))
    rules = [config.stop_rules, *config.hierarchy.all_rules()]
    if not config.batch_keys and any(each.min_donors for each in rules):
        message = "`min_donors` asks for a column that says from which donor cells are"
        found.append(Problem(("stop",), message, "write `batch_keys: [donor]`"))
    return found


def _of_level_1(config: ClusteringConfig) -> list[Problem]:
    first = config.hierarchy.parameters(())
    if first is None or first.embedding is None or not first.embedding.derives:
        return []
    message = "level 1 is split on an embedding of all cells, which the input has or of which `neighbors` tells"
    return [Problem(("hierarchy",), message, "leave `embedding` out there")]


def _by_size(config: ClusteringConfig) -> list[Problem]:
    if config.match is None or not config.hierarchy.names_clusters:
        return []
    message = (
        "names clusters by their ids, which under `match` are those of the result: they are known after the splits"
    )
    return [Problem(("hierarchy",), message, "say what differs by level, or call `cs.tl.match` on the result")]
