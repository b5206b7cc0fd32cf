"""`python -m benchmarks [DATA …]`: our command against the ancestor's way and a bare loop, in turn.

For each data set, on one machine and in one go: the bare loop over our own functions on one core, the
ancestor's way (`benchmarks/ancestor.py`), and `cellstrata run`, cold and warm, with a Prefect server
running and with its own. Without data, the 700 cells of the demo; `--synthetic N` adds planted ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.chart import draw
from benchmarks.contestants import ANCESTOR, BARE, BEFORE, Task, ancestor, command, in_turn, row
from benchmarks.server import running_server
from benchmarks.synthetic import write_synthetic


def main() -> None:
    """Measure each data set, print the table, and write what is asked for."""
    options = _options()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server:
        if options.config:
            rows += _configuration(options.config, server, folder)
        for path in _data(options, Path(folder)):
            task = Task(path, options.use_rep, tuple(options.resolutions), options.depth, labels=tuple(options.labels))
            rows += _told(in_turn(task, server, f"{folder}/home", options.repeat, options.against))
            if not options.without_ancestor:
                rows += _told([ancestor(task)])
    _add_ratios(rows)
    print(table(rows))
    if options.json:
        from cellstrata.tasks.results.provenance import versions

        machine = {"platform": platform.platform(), "processor": _processor(), "cpus": len(os.sched_getaffinity(0))}
        document = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine,
                    "versions": versions(), "rows": rows}  # fmt: skip
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    if options.chart:
        draw(rows, Path(options.chart))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("data", nargs="*", help="h5ad or zarr files with an embedding")
    parser.add_argument("--synthetic", type=int, nargs="*", default=[], metavar="N", help="planted sets of N cells")
    parser.add_argument("--config", help="a configuration of your own, cold and warm")
    parser.add_argument("--use_rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--depth", type=int, default=3, help="levels (default: %(default)s)")
    parser.add_argument("--labels", nargs="*", default=[], help="obs columns of known labels")
    parser.add_argument("--repeat", type=int, default=1, help="how often we run; the median counts")
    parser.add_argument("--against", type=Path, help="another checkout, whose command takes turns with ours")
    parser.add_argument("--without_ancestor", action="store_true", help="leave the slowest out")
    parser.add_argument("--json", help="write the measurements here")
    parser.add_argument("--chart", help="draw them into this PNG")
    return parser.parse_args()


def _data(options: argparse.Namespace, folder: Path) -> list[str]:
    made = [str(write_synthetic(folder / f"synthetic_{n}.h5ad", n)) for n in options.synthetic]
    if options.data or made or options.config:
        return [*options.data, *made]
    from cellstrata.flows.commands.demo import DATA, write_demo

    write_demo(str(folder))
    return [str(folder / DATA)]


def _configuration(path: str, server: str, folder: str) -> list[dict[str, Any]]:
    """Run a configuration cold and warm, its output and cache in a folder of our own."""
    text = Path(path).read_text()
    own = Path(folder) / Path(path).name
    own.write_text(text)
    os.environ.update(CELLSTRATA_CACHE=f"{folder}/own-cache", CELLSTRATA_OUTPUT_DIR=f"{folder}/own-out")
    rows = []
    for what in ("cold", "warm"):
        run, document = command(own, server, f"{folder}/home")
        rows.append(row(Path(path).stem, f"{what}, server running", [run], splits=_sum(document)))
    return rows


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say how far it is."""
    for one in rows:
        print(f"{one['data']}, {one['what']}: {one['wall']} s", file=sys.stderr, flush=True)
    return rows


def _sum(document: dict[str, Any]) -> dict[str, int]:
    every = [report["splits"] for report in document["datasets"].values()]
    return {name: sum(splits[name] for splits in every) for name in ("executed", "cached")}


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    """Add to each row its wall time over the bare loop's and another checkout's, and the ancestor's over its own."""
    walls = {(one["data"], one["what"]): one["wall"] for one in rows}
    for one in rows:
        bare, old = walls.get((one["data"], BARE)), walls.get((one["data"], ANCESTOR))
        if before := walls.get((one["data"], f"{one['what']}, {BEFORE}")):
            one["of_before"] = round(one["wall"] / before, 3)
        one["of_bare"] = round(one["wall"] / bare, 3) if bare else None
        one["times_faster"] = round(old / one["wall"], 1) if old else None


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text."""
    lines = [
        f"{'data':22} {'what':20} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'of bare':>8} {'before':>7} {'faster':>7} "
        f"{'modularity':>22}  splits; agreement (NMI, ARI)"
    ]
    for one in rows:
        modularity = " ".join(f"{value:.4f}" for value in one.get("modularity", {}).values())
        bare = f"{one['of_bare']:.2f}" if one["of_bare"] else ""
        faster = f"{one['times_faster']:.1f}x" if one["times_faster"] else ""
        earlier = f"{one['of_before']:.2f}" if "of_before" in one else ""
        splits = one.get("splits", "")
        splits = f"{splits['executed']}+{splits['cached']}" if isinstance(splits, dict) else splits
        agrees = "; ".join(f"{name} {a['nmi']:.3f} {a['ari']:.3f}" for name, a in one.get("agreement", {}).items())
        lines.append(
            f"{one['data'][:22]:22} {one['what']:20} {one['wall']:8.1f} {one['cpu']:8.1f} {one['peak_mb']:8.0f} "
            f"{bare:>8} {earlier:>7} {faster:>7} {modularity:>22}  {splits}; {agrees}"
        )
    return "\n".join(lines)


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
