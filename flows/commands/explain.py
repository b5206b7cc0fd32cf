"""`cellstrata explain`: how a cluster of a result came to be, for people or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellstrata.configs.evidence import MOST_MARKERS
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    from cellstrata.tasks.kernels.gpu_check import GpuCheck
    from cellstrata.tasks.results.explain import Explanation, Level, Sized, Split
    from cellstrata.tasks.trees.ids import Kinship

UNKNOWN = "not recorded"
MOST_SIZES = 7
MOST_LETTERS = 110
# Of the versions, those that people ask for.
PACKAGES = ("python", "igraph", "leidenalg", "faiss-cpu", "numpy", "scipy", "anndata", "prefect")


def explain(url: str, cluster: str | None, column: str | None, as_json: bool) -> int:
    """Print how a cluster came to be; returns the exit code."""
    terminal = Terminal(as_json=as_json, verbose=False)
    with Attempt(terminal) as attempt:
        from cellstrata.tasks.results.explain import explain as explanation_of

        sealed = Sealed(storage_options(os.environ))
        with terminal.status(f"reading {sealed.url(url)}"):
            shown = sealed.url(url)
            found = explanation_of(Place(shown, sealed.options), cluster, column=column)
    if attempt.code:
        return attempt.code
    for notice in found.notices:
        terminal.notice(notice)
    print(json.dumps(found.to_json()) if as_json else "\n".join(lines(found)), flush=True)
    return DONE


def lines(found: Explanation) -> Iterator[str]:
    """Write an explanation as aligned lines, none of them wrapped."""
    whole, settings = found.cluster == "all", found.configuration.get("clustering", {})
    share = "" if whole else f", {_percent(found.share, 1)} of the column"
    yield f"{found.column}  {'level 1' if whole else f'cluster {found.cluster}'}  {_cells(found.n_cells)}{share}"
    yield _line("result", found.result)
    if found.recorded_in != found.result:
        yield _line("from", found.recorded_in)
    version = found.versions.get("cellstrata", "")
    yield _line("written", f"{_when(found.written)} by cellstrata {version}, `{found.command or UNKNOWN}`")
    yield _line("input", _identity(found.input))
    yield _line("asked for", _shortened(_asked(settings)))
    if settings.get("hierarchy"):
        yield _line("hierarchy", _shortened(_plain(_levels_first(settings["hierarchy"]))))
    yield _line(
        "with", _shortened(", ".join(f"{name} {found.versions[name]}" for name in PACKAGES if name in found.versions))
    )
    if whole and found.advice:
        yield _line("advice", found.advice)
    for level in found.levels:
        yield ""
        yield from _level(level, found.neighbors_key)
    if not whole:
        yield ""
        yield _line("then", _fate(found))
        if found.attempt is not None:
            yield _line("tried", f"at resolution {found.attempt.resolution}: {_tried(found.attempt)}")


def _level(level: Level, neighbors_key: str | None) -> Iterator[str]:
    yield f"level {level.level}  {_head(level)}"
    if level.origin == "left whole":
        yield _line("reason", level.reason)
        return
    if len(level.clusters) > 1:
        yield _line("sizes", _sizes(level.clusters, level.cluster))
    if level.reason:
        yield _line("reason", level.reason)
    own = level.own
    if own is not None and own.kin is not None:
        yield _line("id", _kin(own.kin))
    if own is not None and own.stability is not None:
        lost = ", other seeds do not find it again" if own.dissolves else ""
        yield _line("stability", f"{own.stability:.2f} of 1{lost}")
    if own is not None and own.purity is not None and own.separation is not None:
        far = f"{own.separation:.1f} standard deviations from the nearest"
        yield _line("apart", f"{_percent(own.purity)} of its neighborhoods are its own; {far}")
    if own is not None and own.markers is not None:
        yield _line("markers", f"{_at_most(own.markers)} genes over the sister that is most alike")
    for name, spread in own.batches.items() if own is not None else ():
        yield _line("cells of", _spread(name, spread))
    if level.split is not None:
        yield from _split(level.split, neighbors_key)
    if level.input:
        yield _line("made from", _identity(level.input))
        yield _line("written", _when(level.written))


def _head(level: Level) -> str:
    """How the level came to be, and the cluster's part in it."""
    n = len(level.clusters)
    own = level.own
    parent = "all cells" if level.parent == "all" else level.parent
    clusters = f"{n} cluster{'s'[: n != 1]} of {level.column}"
    if level.origin == "input":
        return f"{f'{own.cluster}: {_cells(own.n_cells)}, one of ' if own else ''}{clusters}, which came with the input"
    if own is None:
        return f"all {_cells(level.n_cells)}, split into {clusters}"
    if n > 1:
        of = f"all {level.n_cells:,} cells" if level.parent == "all" else f"the {_cells(level.n_cells)} of {parent}"
        return f"{own.cluster}: {own.n_cells:,} of {of}, {_percent(own.share, 1)}, one of {clusters}"
    whole = ", which was left whole" if level.origin == "left whole" else ", the only cluster found there"
    return f"{own.cluster}: all {_cells(own.n_cells)} of {parent}{whole}"


def _split(split: Split, neighbors_key: str | None) -> Iterator[str]:
    iterations = {None: "" if split.algorithm == "louvain" else f"iterations {UNKNOWN}", -1: "until stable"}
    parts = [
        split.algorithm or f"algorithm {UNKNOWN}",
        f"resolution {UNKNOWN if split.resolution is None else split.resolution}",
        iterations.get(split.n_iterations, f"{split.n_iterations} iterations"),
        f"seed {UNKNOWN if split.seed is None else split.seed}",
        "weights not used" if split.use_weights is False else "",
        f"modularity {UNKNOWN if split.modularity is None else f'{split.modularity:.4f}'}",
    ]
    yield _line("partition", ", ".join(filter(None, parts)))
    if split.runs is not None:
        yield _line("runs", _runs(split))
    if split.replicability is not None:
        yield _line("evidence", _evidence(split))
    if split.markers:
        yield _line("genes", _markers(split))
    if split.graph == "stored":
        yield _line("graph", f"stored in the input, uns[{neighbors_key or 'neighbors'!r}]")
    else:
        yield _line("graph", f"computed: {split.n_neighbors} neighbors in {split.embedding}, {split.metric}")
    yield _line("engine", f"{split.engine}: {split.engine_reason or f'reason {UNKNOWN}'}")
    if split.fallback:
        yield _line("fallback", f"the CPU repeated what a GPU was asked for: {split.fallback}")
    if split.gpu_check:
        yield _line("checked", _check(split.gpu_check))
    took = "" if split.seconds is None else f", in {split.seconds:.2f} s"
    where = {True: ", taken from the cache", False: ", by this run", None: ""}
    yield _line("computed", f"{_when(split.created)}{took}{where[split.from_cache]}")
    what = "graph" if split.graph == "stored" else "cells"
    yield _line("key", f"{split.key}, of {what} {split.cells or UNKNOWN}")


def _kin(kin: Kinship) -> str:
    """What the cluster was in the earlier result after which it is numbered."""
    share = f"overlap {kin.overlap or 0:.2f}"
    if not kin.new:
        said = [f"as in the earlier result, {share}"]
    else:
        said = [
            f"new, most like the earlier {kin.was}, {share}" if kin.was else "new, shares no cell with an earlier one"
        ]
    if kin.split_from:
        said.append(f"{kin.split_from} was split into it and others")
    if kin.merged_from:
        said.append(f"{' and '.join(kin.merged_from)} were merged into it")
    return "; ".join(said)


def _runs(split: Split) -> str:
    """How many runs were made, and what they say of one another."""
    if split.agreement is None:
        return "one: another seed may give other clusters; an `ensemble` of several tells how far"
    cores = f"; {' → '.join(f'{number:,}' for number in split.cores)} cores" if split.cores else ""
    return f"{split.runs}, joined; they agree with ARI {split.agreement:.2f}{cores}"


def _evidence(split: Split) -> str:
    """How far halves of the cells agree, and what a cloud without groups would do."""
    clouds = "" if split.expected is None else f"; those of clouds without groups {split.expected:z.2f}"
    likely = "" if split.p is None else f", p {split.p:.1g}"
    return f"halves clustered apart agree with ARI {split.replicability:z.2f}{clouds}{likely}"


def _markers(split: Split) -> str:
    """How many genes tell the children apart."""
    return f"over the sister that is most alike, its children have {', '.join(map(_at_most, split.markers))} markers"


def _at_most(number: int) -> str:
    return f"{number} or more" if number >= MOST_MARKERS else str(number)


def _tried(split: Split) -> str:
    """What was found of an attempt."""
    evidence = [] if split.replicability is None else [_evidence(split)]
    return "; ".join([*evidence, *([_markers(split)] if split.markers else [])])


def _spread(name: str, spread: Mapping[str, Any]) -> str:
    """From which donors or batches a cluster's cells are."""
    groups = int(spread["groups"])
    most = f"{_percent(float(spread['largest']))} from {spread['of']}" if spread["of"] is not None else "none known"
    return f"{name}: {most}, {groups} group{'s'[: groups != 1]} with 10 cells or more, entropy {spread['entropy']:.2f}"


def _check(check: GpuCheck) -> str:
    """What the CPU found of the same split."""
    gap = check.modularity_gap
    than = f"{abs(gap):.4f} {'more' if gap > 0 else 'less'} modularity" if round(gap, 4) else "equal modularity"
    clusters = f"{check.n_clusters_cpu} clusters for {check.n_clusters_gpu}"
    return f"by {check.engine}: {than}, {clusters}, ARI {check.ari:.2f}"


def _fate(found: Explanation) -> str:
    if found.n_children > 1:
        return f"split into {found.n_children} clusters"
    return f"not split further: {found.reason or UNKNOWN}"


def _sizes(kin: Sequence[Sized], own: str | None) -> str:
    """The largest clusters, and the own one, with their shares."""
    shown = [each for number, each in enumerate(kin) if number < MOST_SIZES or each.cluster == own]
    more = f", and {len(kin) - len(shown)} more" if len(kin) > len(shown) else ""
    return ", ".join(f"{each.cluster}: {each.n_cells:,} ({_percent(each.share)})" for each in shown) + more


def _asked(settings: Mapping[str, object]) -> str:
    """The base configuration in short; what a level really used is told there."""
    if not settings:
        return UNKNOWN
    base = " at ".join(_plain(settings.get(name, UNKNOWN)).strip("[]") for name in ("algorithm", "resolutions"))
    names = ("neighbors", "n_iterations", "seed", "ensemble", "min_cells", "recompute_neighbors", "stop", "batch_keys",
             "match")  # fmt: skip
    more = {name: _plain(settings[name]) for name in names if settings.get(name)}
    return "; ".join([base, *(f"{name} {text}" for name, text in more.items() if text != "{}")])


def _levels_first(hierarchy: Any) -> Any:
    both = isinstance(hierarchy, Mapping) and "levels" in hierarchy
    return {"levels": hierarchy["levels"], **hierarchy} if both else hierarchy


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(each)}" for key, each in value.items() if each is not None) + "}"
    if isinstance(value, list):
        return _plain(value[0]) if len(value) == 1 else f"[{', '.join(map(_plain, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _identity(identity: Mapping[str, Any]) -> str:
    if not identity:
        return UNKNOWN
    size = identity.get("size")
    marks = [f"{key} {value}" for key, value in identity.items() if key not in ("url", "size", "mtime_ns")]
    if "mtime_ns" in identity:
        from datetime import UTC, datetime

        marks.append(f"of {_when(datetime.fromtimestamp(identity['mtime_ns'] // 10**9, UTC).isoformat())}")
    return ", ".join([str(identity.get("url")), *([f"{size:,} bytes"] if size is not None else []), *marks])


def _when(text: str | None) -> str:
    return (text or UNKNOWN).replace("T", " ").replace("+00:00", " UTC")


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _cells(n: int) -> str:
    return f"{n:,} cell{'s'[: n != 1]}"


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _line(name: str, text: str) -> str:
    return f"  {name:<10} {text}"
