"""The facts of a split: what a record in the cache says of it beside its labels. JSON only at the cache's edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import get_args

from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.kernels.gpu_check import GpuCheck
from cellstrata.tasks.kernels.partition import Joined
from cellstrata.tasks.stores.json_values import JsonObject, WrongJson

_OF_ENSEMBLES = ("runs", "agreement", "cores", "stability")


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """What is known of a split. A field that may be None by default is one that older records do not tell.

    Attributes
    ----------
    n_cells : int
        The cells that were split.
    sizes : tuple of int
        The cells of each cluster, the largest first; one cluster where none was found.
    modularity, quality : float
        Modularity at resolution 1, so that resolutions can be compared, and at the resolution used.
    note : str or None
        Why no engine was asked, as for a graph without edges.
    graph : str
        The key of the graph that was partitioned.
    n_edges : int
        The edges of that graph, each counted once.
    method : str
        By what its neighbours were found, `stored` where it came with the input.
    n_neighbors, metric : int and str, or None
        How it was built; None where it came with the input.
    algorithm, resolution, seed, use_weights :
        The parameters of the partition.
    n_iterations : int or None
        Passes of leiden, -1 until nothing changes; None for louvain.
    engine, engine_version : str
        What made the labels: its name, and the packages with their versions.
    seconds : float
        What it took, on one core.
    created : str
        When, ISO 8601 in UTC.
    children : tuple of str, or None
        The digest of each cluster's rows of the same embedding; None where a stored graph was split.
    cells : str or None
        The digest of the rows that were split, or the key of a graph that came with the input.
    graph_built : bool or None
        Whether the graph was built in these seconds.
    engine_reason : str or None
        Why this engine was chosen.
    asked_engine : str or None
        The packages and versions of the engine that was asked; another one than made the labels after a fallback.
    fallback : str or None
        Why the CPU made the labels where a GPU was asked.
    gpu_check : GpuCheck or None
        How far the CPU agrees with the GPU, where this split was in the sample.
    runs : int or None
        How many runs were joined; None for a single one, as for the following three.
    agreement : float or None
        The mean adjusted Rand index over all pairs of runs.
    cores : tuple of int, or None
        The number of cores by round.
    stability : tuple of float, or None
        For each cluster the mean over runs of its best Jaccard index.
    """

    n_cells: int
    sizes: tuple[int, ...]
    modularity: float
    quality: float
    note: str | None
    graph: str
    n_edges: int
    method: str
    n_neighbors: int | None
    metric: str | None
    algorithm: Algorithm
    resolution: float
    n_iterations: int | None
    seed: int
    use_weights: bool
    engine: str
    engine_version: str
    seconds: float
    created: str
    children: tuple[str, ...] | None
    cells: str | None = None
    graph_built: bool | None = None
    engine_reason: str | None = None
    asked_engine: str | None = None
    fallback: str | None = None
    gpu_check: GpuCheck | None = None
    runs: int | None = None
    agreement: float | None = None
    cores: tuple[int, ...] | None = None
    stability: tuple[float, ...] | None = None

    def with_runs(self, joined: Joined) -> SplitFacts:
        """Return the same with what is known of an ensemble's runs."""
        told = joined.stability.clusters
        return replace(self, runs=joined.runs, agreement=joined.agreement, cores=joined.cores, stability=told)

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values, as a record's body has them; a single run's says nothing of ensembles."""
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        said = {**lists, "gpu_check": None if self.gpu_check is None else asdict(self.gpu_check)}
        apart = _OF_ENSEMBLES if self.runs is None else ()
        return {name: value for name, value in said.items() if name not in apart}

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> SplitFacts:
        """Read a record's body, of this or another revision.

        What a newer one may have added is passed over. What older ones did not tell is None.

        Raises
        ------
        WrongJson
            If a fact that every revision tells is missing, or one has another type.
        """
        said = JsonObject.of(body)
        check = said.object_or_none("gpu_check")
        return cls(
            n_cells=said.whole("n_cells"),
            sizes=said.wholes("sizes"),
            modularity=said.number("modularity"),
            quality=said.number("quality"),
            note=said.text_or_none("note"),
            graph=said.text("graph"),
            n_edges=said.whole("n_edges"),
            method=said.text("method"),
            n_neighbors=said.whole_or_none("n_neighbors"),
            metric=said.text_or_none("metric"),
            algorithm=algorithm_of(said.text("algorithm")),
            resolution=said.number("resolution"),
            n_iterations=said.whole_or_none("n_iterations"),
            seed=said.whole("seed"),
            use_weights=said.truth("use_weights"),
            engine=said.text("engine"),
            engine_version=said.text("engine_version"),
            seconds=said.number("seconds"),
            created=said.text("created"),
            children=said.texts_or_none("children"),
            cells=said.text_or_none("cells"),
            graph_built=said.truth_or_none("graph_built"),
            engine_reason=said.text_or_none("engine_reason"),
            asked_engine=said.text_or_none("asked_engine"),
            fallback=said.text_or_none("fallback"),
            gpu_check=None if check is None else gpu_check_of(check),
            runs=said.whole_or_none("runs"),
            agreement=said.number_or_none("agreement"),
            cores=said.wholes_or_none("cores"),
            stability=said.numbers_or_none("stability"),
        )


def gpu_check_of(said: JsonObject) -> GpuCheck:
    """Read what `asdict` makes of a check. Raises WrongJson."""
    return GpuCheck(
        engine=said.text("engine"),
        modularity_gap=said.number("modularity_gap"),
        ari=said.number("ari"),
        n_clusters_gpu=said.whole("n_clusters_gpu"),
        n_clusters_cpu=said.whole("n_clusters_cpu"),
    )


def algorithm_of(name: str) -> Algorithm:
    """Return a name as one of an algorithm. Raises WrongJson if it is none."""
    known: dict[str, Algorithm] = {each: each for each in get_args(Algorithm)}
    if name not in known:
        raise WrongJson(f"'algorithm' is {name!r}")
    return known[name]
