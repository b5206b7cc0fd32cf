"""Which clusters are split again, down to which level, and with which parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cellstrata.configs.cluster_ids import ClusterId, NamedCluster, TreeId, id_hint, named_cluster
from cellstrata.configs.embedding import AskedEmbedding, EmbeddingConfig
from cellstrata.configs.errors import ConfigError, Problem, did_you_mean, one_of, shown
from cellstrata.configs.evidence import AskedStop, StopRules
from cellstrata.configs.values import (
    Count,
    CountFromZero,
    Iterations,
    Metric,
    Neighbors,
    Resolution,
    Runs,
    Text,
    refuse,
)
from cellstrata.configs.wording import problems_in

UNTIL_STABLE = "until_stable"
MOST_LEVELS = 12  # of a tree that ends by itself: a bound against runaways
_BOTH = ("levels", "clusters")


class LevelParameters(BaseModel):
    """Parameters of a split that differ from the dataset's; None means the dataset's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    resolution: Resolution | None = Field(None, description="Resolution of these splits.")
    n_neighbors: Neighbors | None = Field(None, description="Neighbours in the cluster's own graph.")
    use_rep: Text | None = Field(None, description="Embedding (`obsm`) of the cluster's own graph.")
    metric: Metric | None = Field(None, description="Distance of the cluster's own graph.")
    n_pcs: Count | None = Field(None, description="Use only the first so many columns of the embedding.")
    min_cells: CountFromZero | None = Field(None, description="Smaller clusters are left whole.")
    n_iterations: Iterations | None = Field(None, description="Iterations of Leiden; -1: until it is stable.")
    seed: CountFromZero | None = Field(None, description="Seed of these splits.")
    ensemble: Runs | None = Field(None, description="Runs of Leiden that are joined into each of these splits.")
    stop: AskedStop = Field(None, description="What these splits need to stand; `false`: nothing.")
    embedding: AskedEmbedding = Field(
        None,
        description="Embedding of these splits: `reuse`, or one derived from the cluster's cells, `pca`, `hvg_pca`.",
    )

    @model_validator(mode="after")
    def _one_embedding(self) -> LevelParameters:
        if self.use_rep is not None and self.embedding is not None and self.embedding.derives:
            raise refuse(
                "`use_rep` names a stored embedding and `embedding` one to be derived", "leave one of the two out"
            )
        return self

    def own_embedding(self, base: EmbeddingConfig | None) -> EmbeddingConfig | None:
        """Return how embeddings of clusters' own are derived for these splits, None if not; `base` is the dataset's."""
        asked = self.embedding or (None if self.use_rep is not None else base)
        return asked if asked is not None and asked.derives else None

    def over(self, below: LevelParameters) -> LevelParameters:
        """Lay these parameters over others; of `use_rep` and `embedding` the one that is named here stands."""
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        apart = {"embedding": None} if self.use_rep is not None and self.embedding is None else {}
        return below.model_copy(update={**apart, **own})


_BASE = LevelParameters()


@dataclass(frozen=True)
class Hierarchy:
    """A hierarchy as the user wrote it (`spelling`) and what it means.

    Levels count from 1, the clusters of the whole dataset. A cluster's id is the tuple of its parts:
    `3_0` is (3, 0). Each tree, of an algorithm at a resolution, has clusters of its own: `of` narrows a
    hierarchy to what is asked of one of them.
    """

    spelling: Any = field(default=None, compare=False)
    depth: int = 1
    deepest_blanket: int = 1
    """Down to this level every cluster is split."""
    levels: Mapping[int, LevelParameters] = field(default_factory=dict)
    clusters: Mapping[ClusterId, LevelParameters | None] = field(default_factory=dict)
    """Parameters of clusters that differ, laid over their level's; None leaves the cluster whole."""
    until_stable: bool = False
    """Whether clusters are split until splits no longer stand; `depth` is a bound then, and not reached."""
    of_trees: Mapping[TreeId, Mapping[ClusterId, LevelParameters | None]] = field(default_factory=dict)
    """The same of clusters that are named in one tree alone, in the place of those of this id in all trees."""

    @classmethod
    def parse(cls, written: object) -> Hierarchy:
        """Read any spelling of DESIGN.md. Raises ConfigError with every problem in it."""
        if isinstance(written, Hierarchy):
            return written
        if written is None or written is False:
            return cls(written)
        if isinstance(written, Mapping):
            return _from_mapping(written)
        if written == UNTIL_STABLE:
            return cls(written, MOST_LEVELS, MOST_LEVELS, until_stable=True)
        depth = _depth(written)
        return cls(written, depth, depth)

    def of(self, algorithm: str, resolution: float) -> Hierarchy:
        """Return what is asked of one tree; its depth is that of all."""
        own = self.of_trees.get(TreeId(algorithm, resolution), {})
        return replace(self, clusters={**self.clusters, **own}, of_trees={}) if self.of_trees else self

    def parameters(self, path: ClusterId) -> LevelParameters | None:
        """Return what differs from the base when the cluster `path` is split, or None to leave it whole.

        `()` is the whole dataset, whose split makes level 1.
        """
        if path in self.clusters:
            return self.clusters[path]
        level = len(path) + 1
        if level > self.deepest_blanket or any(self.clusters.get(path[:n], _BASE) is None for n in range(1, level)):
            return None
        return self.levels.get(level, _BASE)

    def named_clusters(self) -> list[ClusterId]:
        """List the clusters that are named in every tree, so that a caller can warn of those that do not exist."""
        return sorted(self.clusters)

    @property
    def names_clusters(self) -> bool:
        """Whether any cluster is named, in every tree or in one."""
        return bool(self.clusters or self.of_trees)

    def all_parameters(self) -> list[LevelParameters]:
        """List the parameters of all clusters that are named, in whatever tree."""
        named = [self.clusters, *self.of_trees.values()]
        return [own for clusters in named for own in clusters.values() if own is not None]

    def below_level_1(self) -> list[LevelParameters]:
        """List what differs from the base in the splits of clusters: by level, and of those that are named."""
        levels = [self.levels.get(level, _BASE) for level in range(2, self.deepest_blanket + 1)]
        return [*levels, *self.all_parameters()]

    def all_rules(self) -> list[StopRules]:
        """List the rules to stop by of all levels and clusters that have their own."""
        own = [*self.levels.values(), *self.all_parameters()]
        return [parameters.stop for parameters in own if parameters.stop is not None]

    def embeddings(self, base: EmbeddingConfig | None) -> list[EmbeddingConfig]:
        """List the embeddings that may be derived for clusters below level 1, each once; `base` is the dataset's."""
        asked = [base if self.depth > 1 else None, *(own.embedding for own in self.below_level_1())]
        return list(dict.fromkeys(each for each in asked if each is not None and each.derives))

    @property
    def looks_like_levels(self) -> bool:
        """Whether this names clusters by single numbers, where the ancestor's code read levels."""
        plain = isinstance(self.spelling, Mapping) and not set(_BOTH) & set(self.spelling)
        return plain and not self.of_trees and all(len(cluster) == 1 and cluster[0] > 0 for cluster in self.clusters)


def _depth(written: Any) -> int:
    if written is True:
        raise _refusal("true names no depth", "write `hierarchy: 2` for two levels")
    if isinstance(written, list):
        message = "must be a number of levels or a mapping, not a list"
        raise _refusal(message, f"write `hierarchy: {len(written)}` for {len(written)} levels" if written else None)
    if isinstance(written, str) and written.isascii() and written.isdigit():
        written = int(written)
    if not isinstance(written, int):
        if isinstance(written, str) and (near := did_you_mean(written, [UNTIL_STABLE])):
            raise _refusal(f"must be a number of levels or a mapping, not {shown(written)}", near)
        whole = isinstance(written, float) and written.is_integer() and written >= 1
        suggestion = f"write {int(written)}" if whole else "write for example `hierarchy: 3`"
        raise _refusal(f"must be a number of levels or a mapping, not {shown(written)}", suggestion)
    if written < 1:
        raise _refusal(f"must be at least 1, not {written}", "leave it out, or write 1, for one level")
    return written


def _refusal(message: str, suggestion: str | None = None) -> ConfigError:
    return ConfigError([Problem((), message, suggestion)])


def _from_mapping(written: Mapping[Any, object]) -> Hierarchy:
    problems: list[Problem] = []
    levels: dict[int, LevelParameters] = {}
    clusters: dict[NamedCluster, LevelParameters | None] = {}
    if not written:
        raise _refusal("an empty mapping names no level and no cluster", "write `hierarchy: 2`, or leave it out")
    if any(key in written for key in _BOTH):
        problems += [
            Problem((str(key),), "unknown key beside `levels` and `clusters`", _beside(key))
            for key in written
            if key not in _BOTH
        ]
        levels = _levels(_part(written, "levels", problems), problems)
        clusters = _clusters(_part(written, "clusters", problems), ("clusters",), problems)
    else:
        clusters = _clusters(written, (), problems)
    blanket = max(levels, default=1)
    split = [len(cluster.path) + 1 for cluster, parameters in clusters.items() if parameters is not None]
    depth = max([blanket, *split])
    if not problems and not levels and not split:
        problems.append(Problem((), "asks for no split at all", "name a level or a cluster, or leave it out"))
    if problems:
        raise ConfigError(problems)
    of_trees: dict[TreeId | None, dict[ClusterId, LevelParameters | None]] = {None: {}}
    for (tree, path), own in clusters.items():
        laid = None if own is None else own.over(levels.get(len(path) + 1, _BASE))
        of_trees.setdefault(tree, {})[path] = laid
    everywhere = of_trees.pop(None)
    qualified = {tree: named for tree, named in of_trees.items() if tree is not None}
    return Hierarchy(copy.deepcopy(dict(written)), depth, blanket, levels, everywhere, of_trees=qualified)


def _beside(key: Any) -> str:
    if named_cluster(key) is not None:
        return f"put {shown(key)} under `levels` or under `clusters`"
    return did_you_mean(key, _BOTH) or "levels and clusters go under these two keys"


def _part(written: Mapping[object, object], key: str, problems: list[Problem]) -> Mapping[object, object]:
    part = written.get(key, {})
    if isinstance(part, Mapping):
        return part
    example = "2: 0.3" if key == "levels" else '"3_0": 0.4'
    problems.append(Problem((key,), f"must be a mapping, not {shown(part)}", f"write `{key}: {{{example}}}`"))
    return {}


def _levels(part: Mapping[object, object], problems: list[Problem]) -> dict[int, LevelParameters]:
    levels: dict[int, LevelParameters] = {}
    for key, value in part.items():
        path = ("levels", str(key))
        number = int(key) if isinstance(key, str) and key.isascii() and key.isdigit() else key
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            named = isinstance(key, str) and "_" in key and named_cluster(key) is not None
            suggestion = "cluster ids go under `clusters`" if named else "levels count from 1"
            problems.append(Problem(path, f"{shown(key)} is no level", suggestion))
        elif number in levels:
            problems.append(Problem(path, f"level {number} is given twice", "keep one of them"))
        else:
            levels[number] = _parameters(value, path, problems, "a level cannot be left out; use `clusters`")
    return levels


def _clusters(
    part: Mapping[Any, Any], base: tuple[str, ...], problems: list[Problem]
) -> dict[NamedCluster, LevelParameters | None]:
    clusters: dict[NamedCluster, LevelParameters | None] = {}
    for key, value in part.items():
        path = (*base, str(key))
        cluster = named_cluster(key)
        if cluster is None:
            problems.append(Problem(path, f"{shown(key)} is no cluster id", _id_hint(key, plain=not base)))
            continue
        if cluster in clusters:
            problems.append(Problem(path, f"cluster {cluster} is given twice", "keep one of them"))
        elif value is False and base:
            clusters[cluster] = None
        else:
            clusters[cluster] = _parameters(
                value, path, problems, "clusters that are not named stay whole; leave it out"
            )
    return clusters


def _id_hint(key: object, plain: bool) -> str:
    near = did_you_mean(key, _BOTH) if plain and isinstance(key, str) else None
    return near or id_hint(key)


def _parameters(value: object, path: tuple[str, ...], problems: list[Problem], if_false: str) -> LevelParameters:
    if value is False:
        problems.append(Problem(path, "`false` has no meaning here", if_false))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return LevelParameters(resolution=value)
        except ValidationError as error:
            problems += problems_in(error, LevelParameters, path)
            # The user wrote a number, no key `resolution`.
            problems[-1] = Problem(path, f"a resolution {problems[-1].message}", problems[-1].suggestion)
    elif isinstance(value, Mapping):
        try:
            return LevelParameters.model_validate(dict(value))
        except ValidationError as error:
            problems += problems_in(error, LevelParameters, path)
    else:
        known = one_of(["resolution", "n_neighbors"])
        problems.append(
            Problem(
                path,
                f"must be a resolution or a mapping of parameters, not {shown(value)}",
                _number_hint(value) or f"write a number, or a mapping with keys such as {known}",
            )
        )
    return _BASE


def _number_hint(value: object) -> str | None:
    if isinstance(value, str):
        try:
            return f"write {float(value):g} without quotes"
        except ValueError:
            return None
    return "write {} for the base parameters" if value is None else None
