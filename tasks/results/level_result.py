"""The result of one level alone: a zarr whose obs holds only the new column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.colours.palette import color_entries, tree_palette
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.linked_anndata import refers_rightly
from cellstrata.tasks.elements.opening import Opened, Root
from cellstrata.tasks.elements.ownership import made_by_us
from cellstrata.tasks.elements.spatialdata import spatialdata_columns
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.checks import NEEDED
from cellstrata.tasks.publishing.link_mode import link_mode
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.results.provenance import column_facts, completed_table, provenance
from cellstrata.tasks.results.result import (
    Finished,
    columns,
    computed_elements,
    older_record,
    stability_in_obs,
    stability_in_obsm,
)
from cellstrata.tasks.results.stability import cell_stability
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.column_facts import columns_of_json
from cellstrata.tasks.trees.ids import COLUMNS as OF_IDS
from cellstrata.tasks.trees.labels import STABILITY

if TYPE_CHECKING:
    import pandas as pd

COMMAND = "cluster"
OF_ITSELF = ("stability", "purity", "separation", "batches")  # what a row tells of how its cluster was made


@dataclass(frozen=True, kw_only=True)
class PublishedLevel:
    """A published level: its column, the number of its clusters, and where it is.

    `written` is False where exactly this result stood there.
    """

    column: str
    clusters: int
    output: str
    written: bool


def publish_level(finished: Finished, cache: Cache) -> PublishedLevel:
    """Write one level's column and what was computed for it, with the rest of the input.

    A zarr is linked or referred to; of an input that has to be converted what the next level needs is
    written: obsm, obsp, uns and var. Of obs the columns stay that SpatialData needs. `uns['clustering']` tells of this
    column and, where the input is a result too, of its parent.
    """
    source, key = finished.source, finished.key()
    (tree,) = finished.trees
    labels = columns(finished.trees)
    (name,) = labels
    facts = column_facts([tree])[name]
    published = PublishedLevel(column=name, clusters=facts.n_clusters or 0, output=source.output, written=False)
    opened, output = source.opened, source.opened.place.at(source.output)
    there = older_record(output).get("publish_key") == key
    if there and refers_rightly(output):
        return published
    obsm, obsp, uns = computed_elements(finished, cache)
    stability = cell_stability(finished.trees, cache)
    record = provenance(
        finished.configuration, source.identity, [tree], neighbors_key=source.neighbors_key, graph=finished.graph,
        publish_key=key, created=_now(), command=COMMAND, stability=list(stability),
    )  # fmt: skip
    record["column"] = name
    if tree.given is not None:
        record |= _with_parent(record, opened, tree.given.column)
    colors = color_entries(tree_palette(record["tree"], columns_of_json(json.loads(record["columns"]))), labels)
    with opened.root() as root:
        kept = _kept(root, name)
    publish(
        opened, output, obs={**labels, **stability_in_obs(finished, stability)},
        obsm=obsm | stability_in_obsm(stability), obsp=obsp, uns={**uns, **colors, "clustering": record},
        link="auto", obs_kept=kept, slots_kept=_slots(opened, output), removed=[f"obsm/{STABILITY}"],
    )  # fmt: skip
    return replace(published, written=True)


def publish_kept(source: Opened, output: Place, column: str) -> None:
    """Write a result whose obs holds a column of the input, as it is there, with what the input tells of it."""
    record: dict[str, object] = {
        "command": COMMAND,
        "column": column,
        "created": _now(),
        "input": json.dumps(source.identity, sort_keys=True),
    }
    with source.root() as root:
        theirs = _their_record(root)
        columns = {column: {}, **_chain(theirs, column)}
        record = {**theirs, **record, "columns": json.dumps(columns)}
        kept = _kept(root, column)
    publish(
        source, output, uns={"clustering": record}, link="auto", obs_kept=(column, *kept),
        slots_kept=_slots(source, output),
    )  # fmt: skip


def _kept(root: Root, column: str) -> tuple[str, ...]:
    """Return the obs columns that stay beside the new one: those without which a table of SpatialData is none."""
    return tuple(name for name in spatialdata_columns(root) if name != column)


def _slots(source: Opened, output: Place) -> tuple[str, ...] | None:
    return None if link_mode(source, output, "auto") in ("symlink", "reference") else NEEDED


def _with_parent(record: Mapping[str, Any], source: Opened, parent: str) -> dict[str, object]:
    """Put what the input says of the parent before what is said of the new column: with what that was
    made from (`input`) and when (`written`)."""
    with IMPORTING:
        import pandas as pd

    with source.root() as root:
        theirs = _their_record(root)
    if parent not in _facts(theirs):
        return {}
    made = json.loads(record["columns"])
    above = {name: facts for name, facts in _chain(theirs, parent).items() if name not in made}
    tree = completed_table(theirs.get("tree"))
    if tree is not None:
        tree = tree.drop(columns=[name for name in OF_IDS if name in tree])  # a level is numbered by size
        of_ours = record["tree"]
        # A cluster's row says how it was split: here, not where it was still a leaf.
        split_here = tree["column"].eq(parent) & tree["cluster"].isin(of_ours["cluster"])
        of_ours = _with_what_made_them(of_ours, parent, tree[split_here])
        table = pd.concat([tree[tree["column"].isin(list(above)) & ~split_here], of_ours], ignore_index=True)
    else:
        table = record["tree"]
    return {"columns": json.dumps({**above, **made}, sort_keys=True), "tree": table}


def _with_what_made_them(ours: pd.DataFrame, parent: str, theirs: pd.DataFrame) -> pd.DataFrame:
    """Return our rows with what was told of the parent's clusters when these were made: their stability, how far they
    lie from their sisters, from where their cells are. A cluster that was left whole has it one level down too."""
    above = ours["column"].eq(parent)
    whole = ours.loc[above & ours["key"].eq(""), "cluster"]
    below = ~above & ours["parent"].isin(whole)
    told = ours["cluster"].where(above, ours["parent"])
    known = theirs.set_index("cluster")
    taken = {name: ours[name].mask(above | below, told.map(known[name])) for name in OF_ITSELF}
    return ours.assign(**{**taken, "batches": taken["batches"].fillna("")})


def _their_record(root: Root) -> dict[str, object]:
    """Return the input's own `uns['clustering']` if it is a result of ours."""
    if "clustering" not in elements.uns_keys(root) or not made_by_us(root):
        return {}
    return dict(elements.read_uns(root, "clustering"))


def _chain(record: Mapping[str, object], column: str) -> dict[str, dict[str, object]]:
    """What a record says of a column and of those above and below it, and from what and when they were made."""
    facts = _facts(record)
    base = [facts.get(column, {}).get(key) for key in ("algorithm", "base_resolution")]
    origin = {"input": json.loads(str(record.get("input", "null"))), "written": str(record.get("created", ""))}
    return {
        name: {**origin, **each}
        for name, each in facts.items()
        if base != [None, None] and [each.get("algorithm"), each.get("base_resolution")] == base
    }


def _facts(record: Mapping[str, object]) -> dict[str, dict[str, object]]:
    found = json.loads(str(record.get("columns", "{}")))
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
