"""Checks of an input's obs, UMAP, colours and output against what is asked, and where findings go."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Literal

from configs.clustering import ClusteringConfig
from tasks import elements
from tasks.labels import column_name
from tasks.opening import InputError
from tasks.publish import is_ours
from tasks.store import StorageOptions, Store, real


@dataclass
class Check:
    """One input under inspection: what was found wrong so far, and what should be said."""

    url: str
    root: elements.Root
    config: ClusteringConfig
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def wrong(self, key: str, message: str) -> None:
        """Note something that is wrong: at which key, what, and how to mend it."""
        self.problems.append(str(InputError(self.url, key, message)))


def check_output(check: Check, output: str, storage_options: StorageOptions | None) -> None:
    """Refuse an output over the input, or over something that is not ours."""
    source, target = real(check.url), real(output)
    if f"{target}/".startswith(f"{source}/") or source.startswith(f"{target}/"):
        check.wrong("", f"the result would be written to {output}, over its own input: change `output_dir`")
    elif Store.at(output, storage_options).exists() and not is_ours(output, storage_options):
        check.wrong("", f"{output} exists and was not made by cellstrata: move it away, or change `output_dir`")


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
    config = check.config
    known = set(elements.obs_columns(check.root)) | set(columns_of(config))
    missing = [
        name
        for name in dict.fromkeys([*config.umap_colors, *config.plots.colors, *config.plots.plot_centroids])
        if name not in known
    ]
    if not missing:
        return
    genes = set(map(str, elements.var_names(check.root)))
    for name in missing:
        if name in genes:
            continue
        near = difflib.get_close_matches(name, [*known, *genes], 1)
        hint = f"did you mean `{near[0]}`?" if near else f"obs has {', '.join(sorted(known)[:8]) or 'no columns'}"
        check.wrong(
            f"obs[{name!r}]",
            f"`umap_colors` or `plots` name it, but it is neither a column nor a gene; {hint}",
        )


def columns_of(config: ClusteringConfig) -> list[str]:
    """Return the obs columns that a configuration makes, in their order."""
    return [
        column_name(algorithm, resolution, level)
        for algorithm in config.algorithm
        for resolution in config.resolutions
        for level in range(1, config.hierarchy.depth + 1)
    ]


def kept_columns(check: Check) -> frozenset[str]:
    """With `overwrite: false`, the columns that the input has already; a tree is kept whole or not at all."""
    if check.config.overwrite:
        return frozenset()
    there = set(elements.obs_columns(check.root))
    kept: set[str] = set()
    for algorithm in check.config.algorithm:
        for resolution in check.config.resolutions:
            levels = range(1, check.config.hierarchy.depth + 1)
            columns = [column_name(algorithm, resolution, level) for level in levels]
            found = [column for column in columns if column in there]
            if found and len(found) < len(columns):
                check.wrong(
                    f"obs[{found[-1]!r}]",
                    f"is there already, but not {', '.join(c for c in columns if c not in there)}; with "
                    "`overwrite: false` a hierarchy is kept whole: drop the column, or set `overwrite: true`",
                )
            kept.update(found)
    if kept:
        check.notices.append(f"kept as they are (`overwrite: false`): {', '.join(sorted(kept))}")
    return frozenset(kept)
