"""What `uns['clustering']` says: the configuration, versions, inputs, and the tree with its reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from platform import python_version
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.trees.column_facts import ColumnFacts, GpuSummary
from cellstrata.tasks.trees.ids import COLUMNS as OF_IDS
from cellstrata.tasks.trees.ids import Kinship, Match, all_retired
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.own_embedding import OwnEmbedding
from cellstrata.tasks.trees.plan import LAST_LEVEL, SplitSpec
from cellstrata.tasks.trees.tree import Outcome, Tree

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("cellstrata", "anndata", "faiss-cpu", "igraph", "leidenalg", "numpy", "pandas", "prefect",
            "sc-cluster-libreville", "scanpy", "scipy", "umap-learn", "zarr", "cupy-cuda12x", "cupy-cuda13x",
            "pylibcugraph-cu12", "pylibcugraph-cu13", "rapids-singlecell-cu12", "rapids-singlecell-cu13")  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape a result."""
    found = {package: version for package in PACKAGES if (version := installed_version(package))}
    return {"python": python_version(), **found}


def tree_table(trees: Iterable[Tree]) -> pd.DataFrame:
    """Return one row for each cluster of each column.

    `column`, `cluster`, `parent` (empty at level 1), `level`, `n_cells`, `n_children`, `reason` (why it
    has no children of its own: `last level`, `too small: …`, `not asked for`, `one community`,
    `no embedding of its own: …`; empty where it was split), and for a cluster whose split was tried the
    parameters really used, the `modularity` of that split (at resolution 1; NaN where none was tried), its
    `key`, engine and seconds, the digest of the `cells` that were split (of their rows of the embedding;
    where level 1 is split on a stored graph, its key; empty where an older cache does not tell), when it was
    `created`, whether the run that wrote this found it in the cache (`from_cache`), by what its neighbours were found
    (`knn`), why that engine was chosen (`engine_reason`), why the CPU stood in for a GPU (`fallback`,
    empty where it did not), and what a check of the GPU on the CPU found (`gpu_check`, a
    `GpuCheck` as JSON, empty where there was none), how many `runs` of Leiden or Louvain were made (0 where no engine
    was asked), their `agreement` (mean adjusted Rand index over pairs; NaN for a single run) and the numbers of
    `cores` by round (`120, 14, 9`; empty for a single run). `stability` is the cluster's own: the mean over the runs of
    the split that made it of its best Jaccard index (NaN where that was a single run). `replicability`, `expected` (of
    a cloud without groups) and `p` are the evidence for the split that was tried, `purity` and `separation` those of
    the cluster itself among its sisters, NaN where none was gathered. `children_markers` are the genes that tell each
    of its children apart (`12, 3`; empty where no rule asked), `markers` those of the cluster itself. `batches` tells
    of each of the columns `batch_keys` how the cluster's cells are spread (a JSON text, empty without such columns).
    The rows of `cluster` `all` describe level 1 itself.
    Where clusters are numbered after an earlier result, `was`, `overlap`, `new`, `split_from` and `merged_from` tell of
    each what it was there (`Kinship`); else there are no such columns.
    """
    with IMPORTING:
        import pandas as pd

    trees = list(trees)
    of_ids = OF_IDS if any(tree.ids for tree in trees) else {}
    rows = [_row(tree, outcome) for tree in trees for outcome in _in_order(tree)]
    return pd.DataFrame(rows, columns=[*_ROW, *of_ids])


def _in_order(tree: Tree) -> list[Outcome]:
    return [tree.outcomes[path] for path in sorted(tree.outcomes, key=tree.numbered)]


_ROW = {
    "column": "", "cluster": "", "parent": "", "level": 0, "n_cells": 0, "n_children": 0, "reason": "",
    "resolution": float("nan"), "n_neighbors": 0, "embedding": "", "metric": "", "modularity": float("nan"),
    "engine": "", "key": "", "seconds": float("nan"), "n_iterations": 0, "seed": 0, "cells": "", "created": "",
    "from_cache": False, "knn": "", "engine_reason": "", "fallback": "", "gpu_check": "",
    "runs": 0, "agreement": float("nan"), "cores": "", "stability": float("nan"),
    "replicability": float("nan"), "expected": float("nan"), "p": float("nan"), "purity": float("nan"),
    "separation": float("nan"), "batches": "", "children_markers": "", "markers": float("nan"),
}  # fmt: skip
_NEWER = frozenset(
    {"n_iterations", "seed", "cells", "created", "from_cache", "knn", "engine_reason", "fallback", "gpu_check",
     "runs", "agreement", "cores", "stability", "replicability", "expected", "p", "purity", "separation", "batches",
     "children_markers", "markers"}
)  # fmt: skip  # absent in older tables


def completed_table(table: object) -> pd.DataFrame | None:
    """Return a table that `tree_table` has made, now or in an older version, with the columns of today.

    What an older one lacks is empty, 0 or False. None if it is no such table.
    """
    with IMPORTING:
        import pandas as pd

    if not isinstance(table, pd.DataFrame) or not set(_ROW) - _NEWER <= set(table.columns):
        return None
    missing = {name: value for name, value in _ROW.items() if name not in table.columns}
    of_ids = OF_IDS if set(OF_IDS) <= set(table.columns) else {}
    return table.assign(**missing)[[*_ROW, *of_ids]]  # type: ignore[arg-type]


def table_of_rows(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return such a table of rows that say but a part, as of clusters that were not split here; the rest is empty."""
    with IMPORTING:
        import pandas as pd

    return pd.DataFrame([{**_ROW, **row} for row in rows], columns=list(_ROW))


def _row(tree: Tree, outcome: Outcome) -> dict[str, object]:
    plan, level, facts = tree.plan, len(outcome.path), outcome.facts
    row: dict[str, object] = dict(
        _ROW,
        column=_column(tree, max(level, 1)),
        cluster=tree.label(outcome.path),
        parent=tree.parent_label(outcome.path),
        level=level,
        n_cells=outcome.n_cells,
        n_children=0 if outcome.reason == LAST_LEVEL or level == plan.depth else outcome.n_children,
        reason=outcome.reason or "",
    )
    if (stability := tree.stability(outcome.path)) is not None:
        row["stability"] = stability
    row |= _evidence(tree, outcome)
    if tree.ids is not None:
        row |= (tree.ids.kin.get(outcome.path) or Kinship(new=False)).to_row()
    if outcome.spec is not None and facts is not None:
        stored = not level and plan.root_graph_stored
        row |= {
            "resolution": outcome.spec.partition.resolution,
            "n_neighbors": 0 if stored else outcome.spec.neighbors.n_neighbors,
            "embedding": "" if stored else _embedding(outcome, outcome.spec),
            "metric": "" if stored else outcome.spec.neighbors.metric,
            "modularity": facts.modularity,
            "engine": facts.engine_version,
            "key": outcome.key or "",
            "seconds": facts.seconds,
            "n_iterations": outcome.spec.partition.n_iterations if plan.algorithm == "leiden" else 0,
            "seed": outcome.spec.partition.seed,
            "cells": facts.cells or "",
            "created": facts.created,
            "from_cache": not outcome.executed,
            "knn": "" if stored else facts.method,
            "engine_reason": plan.placement.choose(outcome.n_cells).reason,
            "fallback": facts.fallback or "",
            "gpu_check": json.dumps(asdict(facts.gpu_check), sort_keys=True) if facts.gpu_check else "",
            "runs": facts.runs or (1 if facts.note is None else 0),
            "agreement": float("nan") if facts.agreement is None else facts.agreement,
            "cores": ", ".join(map(str, facts.cores or ())),
        }
    return row


def _embedding(outcome: Outcome, spec: SplitSpec) -> str:
    note = outcome.own.note if isinstance(outcome.own, OwnEmbedding) else None
    return str(spec.neighbors.embedding) + (f"; {note}" if note else "")


def _evidence(tree: Tree, outcome: Outcome) -> dict[str, object]:
    """Return what is known of a cluster among its sisters, and of the split that was tried of it."""
    row: dict[str, object] = {}
    if (own := outcome.judged.evidence) is not None:
        said = {"replicability": own.replicability, "expected": own.expected, "p": own.p}
        row |= {name: value for name, value in said.items() if value is not None}
    if (told := outcome.judged.markers) is not None:
        row["children_markers"] = ", ".join(map(str, _by_child(tree, outcome, told.numbers)))
    made = tree.made_by(outcome.path)
    if made is None:
        return row
    above, number = made[0].judged, made[1]
    if above.evidence is not None:
        row |= {"purity": above.evidence.purity[number], "separation": above.evidence.separation[number]}
    if above.markers is not None:
        row["markers"] = above.markers.numbers[number]
    if above.batches:
        groups = {batch.column: batch.groups for batch in tree.plan.batches}
        spread = {column: children[number].to_json(groups[column]) for column, children in above.batches}
        row["batches"] = json.dumps(spread, sort_keys=True)
    return row


def _by_child(tree: Tree, outcome: Outcome, numbers: Sequence[int]) -> list[int]:
    """Return what is known of each child in the order of their ids, where the split stands; else as it was found."""
    if outcome.reason is not None:
        return list(numbers)
    order = sorted(range(len(numbers)), key=lambda child: tree.numbered((*outcome.path, child)))
    return [numbers[child] for child in order]


def _column(tree: Tree, level: int) -> str:
    given = tree.given is not None and level == tree.given.level
    return tree.given.column if given and tree.given else column_name(tree.plan.algorithm, tree.plan.resolution, level)


def column_facts(trees: Iterable[Tree]) -> dict[str, ColumnFacts]:
    """Return the facts of each obs column that these trees make, by its name."""
    found = {}
    for tree in trees:
        plan = tree.plan
        for level in tree.levels:
            clusters = [o for path, o in tree.outcomes.items() if len(path) == level]
            tried = [o for path, o in tree.outcomes.items() if len(path) == level - 1 and o.spec is not None]
            splits = [o.facts for o in tried if o.facts is not None]
            found[column_name(plan.algorithm, plan.resolution, level)] = ColumnFacts(
                algorithm=plan.algorithm,
                level=level,
                base_resolution=plan.resolution,
                resolutions_used=tuple(sorted({o.spec.partition.resolution for o in tried if o.spec})),
                n_clusters=len(clusters),
                splits=len(tried),
                engine=", ".join(sorted({facts.engine for facts in splits})),
                engine_reason=plan.placement.choose(max((o.n_cells for o in tried), default=0)).reason,
                n_iterations=plan.partition.n_iterations if plan.algorithm == "leiden" else None,
                seed=plan.partition.seed,
                use_weights=plan.partition.use_weights,
                ensemble=plan.partition.ensemble if plan.algorithm == "leiden" else 1,
                graph="stored" if level == 1 and plan.root_graph_stored else "computed",
                modularity=splits[0].modularity if level == 1 and splits and not tried[0].judged.reason else None,
                agreement=splits[0].agreement if level == 1 and splits else None,
                gpu=GpuSummary.of(splits),
            )
    return found


def provenance(
    configuration: Mapping[str, object],
    source: Mapping[str, object],
    trees: Sequence[Tree],
    *,
    neighbors_key: str,
    graph: str,
    publish_key: str,
    created: str,
    command: str = "run",
    stability: Sequence[str] = (),
    advice: Sequence[Advice] = (),
    markers: Mapping[str, object] | None = None,
    match: Match | None = None,
) -> dict[str, Any]:
    """Return the entry `uns['clustering']`; nested settings are JSON texts, the tree is a table.

    `stability` names the columns of `obsm['clustering_stability']`, `advice` tells which resolution to take, and
    `markers` which marker genes were asked for. `match` is the earlier result after which clusters are numbered.
    """
    return {
        "made_by": MADE_BY,
        "command": command,
        "neighbors_key": neighbors_key,
        "graph": graph,
        "created": created,
        "publish_key": publish_key,
        "configuration": json.dumps(configuration, sort_keys=True),
        "input": json.dumps(source, sort_keys=True),
        "versions": json.dumps(versions(), sort_keys=True),
        "columns": json.dumps({name: facts.to_json() for name, facts in column_facts(trees).items()}, sort_keys=True),
        "tree": tree_table(trees),
        **({"stability": json.dumps(list(stability))} if stability else {}),
        **({"advice": json.dumps([one.to_json() for one in advice])} if advice else {}),
        **({"markers": json.dumps(markers, sort_keys=True)} if markers else {}),
        **({"match": json.dumps(match.to_json(retired_ids(trees, match)), sort_keys=True)} if match else {}),
    }


def retired_ids(trees: Iterable[Tree], match: Match) -> dict[str, tuple[str, ...]]:
    """Return by column the ids that no cluster has any more, and none gets again."""
    made = [tree.ids.retired for tree in trees if tree.ids is not None]
    return all_retired(match, {column: labels for of_tree in made for column, labels in of_tree.items()})
