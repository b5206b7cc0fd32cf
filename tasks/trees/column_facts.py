"""What is recorded of each obs column: its place in a tree, its parameters, and what made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from cellstrata.tasks.kernels.engines import Runs
from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.trees.facts import SplitFacts


@dataclass(frozen=True, kw_only=True)
class GpuChecks:
    """What checks of the GPU on the CPU found, together: the largest gap in modularity, and means."""

    largest_modularity_gap: float
    mean_ari: float
    mean_n_clusters_gpu: float
    mean_n_clusters_cpu: float


@dataclass(frozen=True, kw_only=True)
class GpuSummary:
    """`fallbacks` counts the splits that the CPU repeated, `checked` those that it computed too."""

    fallbacks: int
    checked: int
    checks: GpuChecks | None

    @classmethod
    def of(cls, splits: Iterable[SplitFacts]) -> GpuSummary | None:
        """Sum up what splits tell of a GPU; None where none was asked."""
        splits = list(splits)
        fallbacks = sum(1 for facts in splits if facts.fallback)
        checks = [check for facts in splits if (check := facts.gpu_check)]
        if not fallbacks and not checks:
            return None

        def mean(values: Iterable[float]) -> float:
            return round(sum(map(float, values)) / len(checks), 4)

        found = GpuChecks(
            largest_modularity_gap=max(check.modularity_gap for check in checks),
            mean_ari=mean(check.ari for check in checks),
            mean_n_clusters_gpu=mean(check.n_clusters_gpu for check in checks),
            mean_n_clusters_cpu=mean(check.n_clusters_cpu for check in checks),
        ) if checks else None  # fmt: skip
        return cls(fallbacks=fallbacks, checked=len(checks), checks=found)

    def to_json(self) -> dict[str, object]:
        """Return what the record of a column has of it."""
        checks = {} if self.checks is None else {"gpu_check": asdict(self.checks)}
        return {"fallbacks": self.fallbacks, "gpu_checked": self.checked, **checks}


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """The facts of a column; None, or empty, is what was not recorded.

    Attributes
    ----------
    algorithm, level, base_resolution :
        What names the column.
    resolutions_used : tuple of float
        Those of the splits that made it, ascending.
    n_clusters, splits : int
        Its clusters, and the splits that were tried to make them.
    engine : str
        All engines that made labels of it.
    engine_reason : str
        Why that of its largest split was chosen; the tree has each one's.
    n_iterations, seed, use_weights :
        The base parameters of the partitions; `n_iterations` is None for louvain.
    ensemble : int or "auto"
        How many runs were asked for, the base parameter; 1 for louvain.
    graph : {"stored", "computed"}
        Whether level 1's graph came with the input.
    modularity : float
        Of level 1's split, at resolution 1; None at deeper levels.
    agreement : float
        Of the runs of level 1's split; None for a single run and at deeper levels.
    gpu : GpuSummary
        What a GPU did of it; None where none was asked, and never read back.
    input, written :
        From what and when the column was made, where that was an earlier call of `cluster`.
    above : str
        The column of the level above, of labels that people have given; None where the names of columns tell.
    """

    algorithm: str | None = None
    level: int | None = None
    base_resolution: float | None = None
    resolutions_used: tuple[float, ...] = ()
    n_clusters: int | None = None
    splits: int | None = None
    engine: str | None = None
    engine_reason: str | None = None
    n_iterations: int | None = None
    seed: int | None = None
    use_weights: bool | None = None
    ensemble: Runs | None = None
    graph: Literal["stored", "computed"] | None = None
    modularity: float | None = None
    agreement: float | None = None
    gpu: GpuSummary | None = None
    input: Mapping[str, object] | None = None
    written: str | None = None
    above: str | None = None

    @property
    def base(self) -> tuple[str, float] | None:
        """The algorithm and base resolution, None where they are not recorded."""
        if self.algorithm is None or self.base_resolution is None:
            return None
        return self.algorithm, self.base_resolution

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values, as `uns['clustering']` has them of columns that a run makes."""
        newer = ("ensemble", "agreement") if self.ensemble is None else ()  # what an older result did not tell
        apart = ("gpu", "input", "written", "above", *newer)
        own = {name: value for name, value in vars(self).items() if name not in apart}
        gpu = {} if self.gpu is None else self.gpu.to_json()
        above = {} if self.above is None else {"above": self.above}
        return {**own, "resolutions_used": list(self.resolutions_used), **gpu, **above}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> ColumnFacts:
        """Read what a result records of a column, of this or another version.

        Raises
        ------
        WrongJson
            If a value has another type.
        """
        said = JsonObject.of(document)
        graph, input_ = said.text_or_none("graph"), said.object_or_none("input")
        return cls(
            algorithm=said.text_or_none("algorithm"),
            level=said.whole_or_none("level"),
            base_resolution=said.number_or_none("base_resolution"),
            resolutions_used=said.numbers_or_none("resolutions_used") or (),
            n_clusters=said.whole_or_none("n_clusters"),
            splits=said.whole_or_none("splits"),
            engine=said.text_or_none("engine"),
            engine_reason=said.text_or_none("engine_reason"),
            n_iterations=said.whole_or_none("n_iterations"),
            seed=said.whole_or_none("seed"),
            use_weights=said.truth_or_none("use_weights"),
            ensemble="auto" if document.get("ensemble") == "auto" else said.whole_or_none("ensemble"),
            graph="stored" if graph == "stored" else "computed" if graph == "computed" else None,
            modularity=said.number_or_none("modularity"),
            agreement=said.number_or_none("agreement"),
            input=None if input_ is None else input_.values,
            written=said.text_or_none("written"),
            above=said.text_or_none("above"),
        )


def columns_of_json(document: Mapping[str, object]) -> dict[str, ColumnFacts]:
    """Read the facts of all columns, by name; what is no object is passed over. Raises WrongJson."""
    return {name: ColumnFacts.from_json(facts) for name, facts in document.items() if isinstance(facts, Mapping)}
