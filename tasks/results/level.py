"""One level on its own: what is asked for of which input, its parent's clusters, and their splits."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cellstrata.configs.loading.single_level import NAME, LevelCall
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import InputError, Opened, reading
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.ownership import is_foreign, is_ours
from cellstrata.tasks.publishing.publish import OutputError
from cellstrata.tasks.results.level_result import COMMAND
from cellstrata.tasks.results.result import older_record, recorded_settings
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.jobs import Job
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.parent_column import NoParent, Parent, clusters_of, find_parent
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import first_nodes, split
from cellstrata.tasks.trees.tree import Given, Pending, Tree


class NothingToDo(Exception):
    """What is asked for is there already; the message says where."""


@dataclass(frozen=True)
class Asked:
    """One level of one input: its parent (none at level 1), the name of its column, and what stands there.

    `resolution` is the base one, in the column's name. `kept` says that the input has the column, and
    that it is kept.
    """

    source: Opened
    output: Place
    column: str
    resolution: float
    parent: Given | None
    kept: str = ""
    notices: tuple[str, ...] = ()


def look(call: LevelCall) -> Asked:
    """Find the parent in the input, name the column, and see what already stands at the output.

    Raises
    ------
    InputError
        If the input cannot be read, or has no parent column, or more than one.
    OutputError
        If the output is not ours, or holds something else than this column.
    NothingToDo
        If the output has the column, and it is not to be overwritten.
    """
    place = Place(call.url, call.config.storage_options)
    source, output, url = Opened.at(place), place.at(call.output), place.url
    with source.root() as root:
        with reading(url, "obs"):
            take_own(root, "obs")
            columns = elements.obs_columns(root)
        found, parent, notices = Parent("", None), None, []
        if call.level > 1:
            try:
                found = find_parent(columns, call.algorithm, call.resolution, call.level, call.parent_key)
            except NoParent as error:
                raise InputError(url, "", str(error)) from None
            try:
                if found.column == _name(call, found):
                    raise NoParent(f"obs[{found.column!r}]: is what level {call.level} makes, so not its parent")
                with reading(url, f"obs[{found.column!r}]"):
                    take_own(root, f"obs/{found.column}")
                    column = elements.read_obs_column(root, found.column)
                parent = clusters_of(column, call.level - 1)
            except NoParent as error:
                raise InputError(url, "", f"{error}; name another column with --parent_key") from None
            if missing := int(column.isna().sum()):
                notices.append(f"{missing} cells have no label in {found.column}, and get none")
    name = _name(call, found)
    _check_output(call, source, output, name)
    kept_from = f"{name} is in {url} already, and is kept as it is" if name in columns and not call.overwrite else ""
    resolution = call.resolution if found.resolution is None else found.resolution
    return Asked(
        source=source,
        output=output,
        column=name,
        resolution=resolution,
        parent=parent,
        kept=kept_from,
        notices=tuple(notices),
    )


def open_level(plan: TreePlan, asked: Asked) -> tuple[Tree, list[Pending]]:
    """Return the level's tree and the clusters that are to be split, the largest first."""
    tree = Tree(plan, asked.parent)
    pending = [opened for node in first_nodes(tree) if (opened := tree.open(node)) is not None]
    return tree, sorted(pending, key=lambda node: (-node.n_cells, node.path))


def uncached(job: Job, cache: Cache) -> bool:
    """Tell whether a job has to be computed."""
    return cache.find(job.key, "split") is None


def close(tree: Tree, pending: Pending, cache: Cache, executed: set[str]) -> None:
    """Take a split that is done into the tree."""
    found = split(tree.plan, pending, cache)
    computed = found.computed or found.key in executed
    for child in tree.close(pending, found.key, found.facts, found.labels(cache), executed=computed):
        tree.open(child)


def _name(call: LevelCall, parent: Parent) -> str:
    """The column's name: it inherits the base resolution of its parent."""
    resolution = call.resolution if parent.resolution is None else parent.resolution
    return column_name(call.algorithm, resolution, call.level)


def _check_output(call: LevelCall, source: Opened, place: Place, name: str) -> None:
    output = place.url
    if overlap(source.url, output):
        raise OutputError(output, "", f"is the input {source.url}, lies in it or holds it: choose another OUTPUT")
    if is_foreign(place):
        raise OutputError(output, "", "exists and was not made by cellstrata: move it away, or choose another OUTPUT")
    if not is_ours(place):
        return
    older = older_record(place)
    if not older:  # its upload was interrupted
        return
    if older.get("command") != COMMAND:
        message = "is a result of `cellstrata run` or `collect` and is left alone: choose another OUTPUT"
        raise OutputError(output, "", message)
    if call.overwrite:
        return
    there = older.get("column", "")
    if there != name:
        message = f"holds {there or 'another column'}: choose another OUTPUT, or replace it with --overwrite"
        raise OutputError(output, "", message)
    raise NothingToDo(f"{name} is in {output} already{_made_from(call, source, older)}; --overwrite replaces it")


def _made_from(call: LevelCall, source: Opened, older: dict[str, str]) -> str:
    """Say whether a column that is kept is what would be made now."""
    if older.get("input") != json.dumps(source.identity, sort_keys=True):
        return ", made from another input, and is kept"
    before = json.loads(older.get("configuration", "{}")).get("clustering", {})
    now = recorded_settings(call.at(float(before["resolutions"][0])).DATASETS[NAME].clustering) if before else {}
    same = {**before, "overwrite": 0} == {**now, "overwrite": 0}
    return ", and is kept" if same else ", made with other parameters, and is kept"
