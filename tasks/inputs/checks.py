"""Checks of an input's obs, UMAP, colours and output against what is asked, and where findings go."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.hdf5_filters import element_of, is_hdf5, remedy, unknown_filters, unknown_filters_of
from cellstrata.tasks.elements.later_zarr import remedy_of, unknown_arrays
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.elements.own_metadata import covariate_elements, take_own
from cellstrata.tasks.elements.ownership import is_foreign
from cellstrata.tasks.elements.spatialdata import spatialdata_columns
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import is_local
from cellstrata.tasks.stores.write_access import unusable
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.parent_column import NoParent, clusters_of

NEEDED = (
    "obsm",
    "obsp",
    "uns",
    "var",
)  # by the next level, of an input that cannot be linked


@dataclass(frozen=True)
class Wording:
    """How fixes are put: in keys of the configuration, or in options of the single-level command."""

    output: str = "change `output_dir`"
    graph: str = "set `recompute_neighbors: true` to build one"
    neighbors: str = "set `neighbors.{}`"

    def neighbors_key(self, name: str) -> str:
        """Say where a graph parameter is set."""
        return self.neighbors.format(name)


OPTIONS = Wording(
    output="choose another OUTPUT",
    graph="build one with `cellstrata run` and `recompute_neighbors: true`",
    neighbors="set `{}` in --neighbors_args",
)

ARGUMENTS = Wording(
    output="",
    graph="give `recompute_neighbors=True` to build one",
    neighbors="give `{}`",
)


@dataclass
class Check:
    """One input under inspection: what was found wrong so far, what should be said, and what before all else."""

    url: str
    root: elements.Root
    config: ClusteringConfig
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    foremost: list[str] = field(default_factory=list)
    wording: Wording = field(default_factory=Wording)

    def wrong(self, key: str, message: str) -> None:
        """Note something that is wrong: at which key, what, and how to mend it."""
        self.problems.append(str(InputError(self.url, key, message)))


def check_compression(check: Check, whole: bool) -> bool:
    """Say which elements that will be read, or converted, HDF5 or zarr cannot read here.

    A result of one level alone (not `whole`) takes but some slots of an h5ad, and of obs no column that it does not
    need. Tells whether all can be read.
    """
    if not is_local(check.url):  # each header of a file in a bucket costs bytes: only what is large is looked at
        return not _unknown_in_bucket(check)
    config = check.config
    replaced = {f"obs/{name}" for name in columns_of(config)} | ({"obsm/X_umap"} if config.recompute_umap else set())

    kept = set() if whole else {f"obs/{elements.obs_index_column(check.root)}"}
    kept |= set() if whole else {f"obs/{name}" for name in spatialdata_columns(check.root)}

    def takes(path: str) -> bool:
        element, _ = element_of(path)
        slot = element.partition("/")[0]
        if not whole and slot not in NEEDED:
            return element in kept
        return element not in replaced

    found = {element_of(path)[1]: code for path, code in unknown_filters(check.root, takes).items()}
    for element, code in found.items():
        check.wrong(element, remedy(code))
    later = {element_of(path)[1]: fault for path, fault in unknown_arrays(check.root, takes).items()}
    for element, fault in later.items():
        check.wrong(element, remedy_of(fault))
    return not (found or later)


def _unknown_in_bucket(check: Check) -> bool:
    """Note of X and layers which cannot be decompressed: these are referred to only if zarr knows their filters too.

    What is small and is read, or converted, says so itself.
    """
    root, problems = check.root, len(check.problems)
    found = ["X", "raw/X", *(f"layers/{name}" for name in root.get("layers", ()))] if is_hdf5(root) else []
    for path in found:
        if path in root:
            for code in unknown_filters_of(root[path])[:1]:
                check.wrong(path if path == "X" else element_of(path)[1], remedy(code))
    return len(check.problems) > problems


def check_output(check: Check, place: Place) -> None:
    """Refuse an output over the input, or over something that is not ours."""
    output = place.url
    if overlap(check.url, output):
        check.wrong("", f"the result would be written to {output}, over its own input: {check.wording.output}")
    elif is_foreign(place):
        check.wrong("", f"{output} exists and was not made by cellstrata: move it away, or {check.wording.output}")
    elif is_local(output) and (problem := unusable(Place(f"{output}.part"))):  # it is made beside its place
        check.wrong("", f"the result cannot be written to {output}, {problem}: {check.wording.output}")


def check_names(check: Check, made: list[str]) -> None:
    """Refuse to make a column where obs has its index, or keeps columns whose names go on with a `/`."""
    index = elements.obs_index_column(check.root)
    for name in made:
        below = [column for column in elements.obs_columns(check.root) if column.startswith(f"{name}/")]
        if name == index:
            check.wrong(f"obs[{name!r}]", "is the index of obs, where this column would be made: rename the index")
        elif below:
            check.wrong(f"obs[{below[0]!r}]", f"stands where the column {name} would be made: rename it")


def check_umap(check: Check) -> Literal["stored", "compute", "none"]:
    """Say where the result's UMAP comes from."""
    if check.config.recompute_umap:
        return "compute"
    if "X_umap" in elements.obsm_shapes(check.root):
        return "stored"
    colors = [*check.config.umap_colors, *check.config.plots.colors]
    if colors:
        check.notices.append("no UMAP is stored and none is asked for, so the result has none (`recompute_umap: true`)")
    return "none"


def check_colors(check: Check) -> None:
    """Colours must be obs columns, cluster columns of this run, or genes."""
    config, there = check.config, set(elements.obs_columns(check.root))
    known = there | set(columns_of(config))
    named = dict.fromkeys([*config.umap_colors, *config.plots.colors, *config.plots.plot_centroids])
    missing = [name for name in named if name not in known]
    read = [path for name in named if name in there for path in covariate_elements(name)]
    take_own(check.root, *read, *(["X", "var"] if missing else []))  # what figures and report will read
    if not missing:
        return
    genes = set(map(str, elements.var_names(check.root)))
    for name in missing:
        if name in genes:
            continue
        hint = column_hint(name, [*known, *genes], sorted(known))
        check.wrong(
            f"obs[{name!r}]",
            f"`umap_colors` or `plots` name it, but it is neither a column nor a gene; {hint}",
        )


def column_hint(name: str, offered: Sequence[str], columns: Sequence[str]) -> str:
    """Say which of the names that are offered was probably meant, or which columns obs has."""
    near = difflib.get_close_matches(name, offered, 1)
    return f"did you mean `{near[0]}`?" if near else f"obs has {', '.join(columns[:8]) or 'no columns'}"


def columns_of(config: ClusteringConfig) -> list[str]:
    """Return the obs columns that a configuration makes, in their order."""
    return [
        column_name(algorithm, resolution, level)
        for algorithm in config.algorithm
        for resolution in config.listed_resolutions
        for level in range(1, config.hierarchy.depth + 1)
    ]


def kept_columns(check: Check) -> frozenset[str]:
    """With `overwrite: false`, the columns that the input has already: of each tree the first levels."""
    if check.config.overwrite:
        return frozenset()
    there = set(elements.obs_columns(check.root))
    kept: list[str] = []
    for algorithm in check.config.algorithm:
        for resolution in check.config.listed_resolutions:
            levels = range(1, check.config.hierarchy.depth + 1)
            columns = [column_name(algorithm, resolution, level) for level in levels]
            found = [column for column in columns if column in there]
            if found != columns[: len(found)]:
                above = columns[: columns.index(found[-1])]
                check.wrong(
                    f"obs[{found[-1]!r}]",
                    f"is there already, but not {', '.join(c for c in above if c not in there)} above it; with "
                    "`overwrite: false` it cannot be kept: drop the column, or set `overwrite: true`",
                )
            elif found and len(found) < len(columns):
                take_own(check.root, f"obs/{found[-1]}")
                try:
                    clusters_of(elements.read_obs_column(check.root, found[-1]), len(found))
                except NoParent as error:
                    check.wrong("", f"{error}; drop the column, or set `overwrite: true`")
            kept += found
    if kept:
        check.notices.append(f"kept as they are (`overwrite: false`): {', '.join(kept)}")
    return frozenset(kept)
