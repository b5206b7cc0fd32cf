"""How a cluster came to be: the splits that lead from the whole dataset to it, as its result records them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cellstrata.configs.cluster_ids import named_cluster
from cellstrata.tasks.kernels.gpu_check import GpuCheck
from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.results.cluster_choice import ALL, asked_column
from cellstrata.tasks.results.record import ResultRecord, Told, read_result, sizes_in_obs, told_columns
from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.column_facts import ColumnFacts
from cellstrata.tasks.trees.facts import gpu_check_of
from cellstrata.tasks.trees.ids import Kinship, kinship_of
from cellstrata.tasks.trees.labels import column_name, label_of
from cellstrata.tasks.trees.rows import Row, TreeRows


@dataclass(frozen=True)
class Sized:
    """A cluster, its number of cells, its share of its parent's, 0 to 1, and its stability, None for a single run.

    `purity` is the share of its neighborhoods that lies within it, `separation` how many standard deviations it lies
    from the nearest sister, None where no evidence was gathered. `markers` are the genes that it has over the sister
    from which it is told least, None where no rule asked. `batches` tells how its cells are spread. `kin` tells what it
    was in an earlier result, None where ids do not follow one.
    """

    cluster: str
    n_cells: int
    share: float
    stability: float | None
    purity: float | None = None
    separation: float | None = None
    markers: int | None = None
    batches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kin: Kinship | None = None

    @property
    def dissolves(self) -> bool:
        """Tell whether most runs do not have it."""
        return self.stability is not None and self.stability < LOW


@dataclass(frozen=True)
class Split:
    """A split that was tried: with what, by what, and when. None is what was not recorded.

    `fallback` says why the CPU stood in for a GPU, and `gpu_check` what the CPU found of a GPU's split.
    `cells` is the digest of what was split; `n_neighbors`, `embedding` and
    `metric` are None for a graph that came with the input. `from_cache` tells whether the run that wrote
    the column found it there. `runs` were joined, with the mean adjusted Rand index `agreement` over pairs and so many
    `cores` by round (None and none for a single run). `replicability`, `expected` of a cloud without groups, and `p`
    are its evidence, None where none was gathered; `markers` are those of each child, none where no rule asked.
    """

    algorithm: str | None
    resolution: float | None
    n_iterations: int | None
    seed: int | None
    use_weights: bool | None
    graph: Literal["stored", "computed"]
    n_neighbors: int | None
    embedding: str | None
    metric: str | None
    engine: str | None
    engine_reason: str | None
    fallback: str | None
    gpu_check: GpuCheck | None
    modularity: float | None
    runs: int | None
    agreement: float | None
    cores: tuple[int, ...]
    key: str
    cells: str | None
    created: str | None
    seconds: float | None
    from_cache: bool | None
    replicability: float | None = None
    expected: float | None = None
    p: float | None = None
    markers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Level:
    """How one level of the way to a cluster came to be: its parent was split, or left whole (`reason`), or
    the level came with the input.

    `cluster` is the one on the way, None where the whole level is explained; `clusters` are all of its
    parent, itself among them. `input` and `written` say from what and when the column was made, where
    that was an earlier call of `cluster`.
    """

    level: int
    column: str
    origin: Literal["split", "left whole", "input"]
    reason: str
    parent: str
    n_cells: int
    cluster: str | None
    clusters: tuple[Sized, ...]
    split: Split | None
    input: Mapping[str, object] | None
    written: str | None

    @property
    def own(self) -> Sized | None:
        """The cluster on the way, with its size."""
        return next((each for each in self.clusters if each.cluster == self.cluster), None)


@dataclass(frozen=True)
class Explanation:
    """All that a result says of how a cluster came to be. `result` is where it stands, `recorded_in` the
    result that tells of it, another one only where `result` was collected.

    `share` is that of all cells of the column. `n_children` and `reason` say what became of the cluster:
    into how many it was split (one where it was left whole), and why it was not; `attempt` is its own split where one
    was tried and does not stand, of several the most replicable.
    """

    result: str
    recorded_in: str
    column: str
    cluster: str
    n_cells: int
    share: float
    command: str | None
    written: str | None
    versions: Mapping[str, str]
    input: Mapping[str, object]
    neighbors_key: str | None
    configuration: Mapping[str, Any]
    levels: tuple[Level, ...]
    n_children: int
    reason: str
    attempt: Split | None
    advice: str | None
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return asdict(self)


def explain(
    place: Place,
    cluster: str | None = None,
    *,
    column: str | None = None,
) -> Explanation:
    """Explain a cluster of a result of `run`, `cluster` or `collect`; `all`, or none, explains level 1.

    `column` is needed where several have a cluster of this label, unless it is named as in `hierarchy`:
    `leiden_0.5:3_1`.

    Raises
    ------
    InputError
        If `place` holds no result of ours, or there is no such column or cluster, or more than one.
    """
    record = read_result(place)
    told, lost = told_columns(record)
    label = ALL if cluster is None else cluster
    named = named_cluster(cluster)
    if column is None and named is not None and named.tree is not None:
        column, label = column_name(*named.tree, len(named.path)), label_of(named.path)
    name = asked_column(record, told, lost, label, column)
    found = told[name]
    rows, teller = found.record.rows, found.record
    columns = rows.above(found.name)
    if label == ALL:
        first = columns[0]
        own = rows.root(first)
        levels = [_level(rows, first, list(rows.clusters(first).values()), None)]
    else:
        own = rows.clusters(found.name)[label]
        levels = _way(rows, columns, own)
    total = sum(int(row["n_cells"]) for row in rows.clusters(found.name).values())
    n_cells = int(own["n_cells"]) if own is not None else total
    return Explanation(
        result=record.url,
        recorded_in=teller.url,
        column=name,
        cluster=label,
        n_cells=n_cells,
        share=_share(n_cells, total),
        command=teller.texts.get("command"),
        written=teller.texts.get("created"),
        versions=teller.document("versions"),
        input=teller.document("input"),
        neighbors_key=teller.texts.get("neighbors_key"),
        configuration=teller.document("configuration"),
        levels=tuple(levels),
        n_children=int(own["n_children"]) if own is not None else 0,
        reason=str(own["reason"]) if own is not None else "",
        attempt=_attempt(rows, own),
        advice=_advice(teller, rows, columns[0]),
        notices=tuple(_notices(record, name, found, rows)),
    )


def _advice(record: ResultRecord, rows: TreeRows, first: str) -> str | None:
    """Which resolution to take of those of the column's algorithm."""
    base = rows.facts.get(first, ColumnFacts()).base
    said = {one.algorithm: one.said for one in record.advice}
    return None if base is None else next((text for name, text in said.items() if name == base[0]), None)


def _way(rows: TreeRows, columns: Sequence[str], own: Row) -> list[Level]:
    """The levels from the first that is recorded to a cluster, whose column is the last."""
    levels: list[Level] = []
    for column in reversed(columns):
        levels.insert(0, _level(rows, column, rows.siblings(own), own))
        parents = [name for name in columns if rows.level(name) == rows.level(column) - 1]
        if not parents or own["parent"] not in rows.clusters(parents[0]):
            break
        own = rows.clusters(parents[0])[own["parent"]]
    return levels


def _level(rows: TreeRows, column: str, clusters: Sequence[Row], own: Row | None) -> Level:
    above = rows.above(column)[-2:-1]
    label = ALL if own is None else str(own["parent"])
    parent = rows.clusters(above[0]).get(label) if above else rows.root(column)
    facts = rows.facts.get(column, ColumnFacts())
    n_cells = sum(int(row["n_cells"]) for row in clusters)
    tried = parent is not None and bool(parent["key"])
    adopted = facts.level is not None and facts.base is None  # labels that people gave
    return Level(
        level=rows.level(column),
        column=column,
        origin="split" if tried else "input" if parent is None or adopted else "left whole",
        reason="" if parent is None else str(parent["reason"]),
        parent=str(parent["cluster"]) if parent is not None else label,
        n_cells=n_cells,
        cluster=None if own is None else str(own["cluster"]),
        clusters=tuple(
            Sized(
                str(row["cluster"]),
                int(row["n_cells"]),
                _share(row["n_cells"], n_cells),
                _finite(row["stability"]),
                _finite(row["purity"]),
                _finite(row["separation"]),
                int(row["markers"]) if math.isfinite(row["markers"]) else None,
                json.loads(row["batches"] or "{}"),
                kinship_of(row),
            )
            for row in clusters
        ),
        split=_split(parent, facts) if parent is not None and tried else None,
        input=facts.input,
        written=facts.written,
    )


def _attempt(rows: TreeRows, own: Row | None) -> Split | None:
    if own is None or not own["reason"] or not own["key"]:
        return None
    if not math.isfinite(own["replicability"]) and not own["children_markers"]:
        return None
    return _split(own, rows.facts.get(str(own["column"]), ColumnFacts()))


def _split(row: Row, facts: ColumnFacts) -> Split:
    recorded = bool(row["created"])  # absent in older tables
    leiden = facts.algorithm == "leiden"
    return Split(
        algorithm=facts.algorithm,
        resolution=_finite(row["resolution"]),
        n_iterations=int(row["n_iterations"]) if recorded and leiden else None,
        seed=int(row["seed"]) if recorded else None,
        use_weights=facts.use_weights,
        graph="computed" if row["n_neighbors"] else "stored",
        n_neighbors=int(row["n_neighbors"]) or None,
        embedding=str(row["embedding"]) or None,
        metric=str(row["metric"]) or None,
        engine=str(row["engine"]) or None,
        engine_reason=str(row["engine_reason"]) or facts.engine_reason,
        fallback=str(row["fallback"]) or None,
        gpu_check=gpu_check_of(JsonObject.of(json.loads(row["gpu_check"]))) if row["gpu_check"] else None,
        modularity=_finite(row["modularity"]),
        runs=int(row["runs"]) or None,
        agreement=_finite(row["agreement"]),
        cores=_numbers(row["cores"]),
        key=str(row["key"]),
        cells=str(row["cells"]) or None,
        created=str(row["created"]) or None,
        seconds=_finite(row["seconds"]),
        from_cache=bool(row["from_cache"]) if recorded else None,
        replicability=_finite(row["replicability"]),
        expected=_finite(row["expected"]),
        p=_finite(row["p"]),
        markers=_numbers(row["children_markers"]),
    )


def _notices(record: ResultRecord, name: str, place: Told, rows: TreeRows) -> list[str]:
    """Say where obs does not hold what the record tells of: cells were left out, or labels changed, since."""
    if name not in record.obs:
        return []
    there = sizes_in_obs(record, name)
    if there == {label: int(row["n_cells"]) for label, row in rows.clusters(place.name).items()}:
        return []
    return [f"obs[{name!r}] has changed since: it has other clusters, or sizes, than those that are explained here"]


def _share(n_cells: int, of: int) -> float:
    return round(n_cells / of, 4) if of else 0.0


def _numbers(text: object) -> tuple[int, ...]:
    return tuple(int(number) for number in str(text).split(", ") if number)


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
