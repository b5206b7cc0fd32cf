"""`python -m benchmarks.advice_chart JSON [PNG]`: the tables of docs/advice.md, and its chart."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import data_title

WAYS = ("advised", "candidates", "bootstrap", "silhouette")
REJECTED = ("most replicable", "most above clouds", "finest that stands")
COLORS = {"advised": "#D55E00", "candidates": "#E69F00", "bootstrap": "#0072B2", "silhouette": "#999999"}
Row = dict[str, Any]


def main(path: str, png: str | None = None) -> None:
    """Print the tables, and draw the chart into a PNG if one is named."""
    rows: list[Row] = json.loads(Path(path).read_text())["choice"]
    print("\n".join(real_table(rows)), end="\n\n")
    print("\n".join(loss_table(rows)))
    if png:
        draw(rows, Path(png))


def real_table(rows: Sequence[Row]) -> list[str]:
    """Return a line for each set of known labels of real data: resolution, clusters and agreement by way."""
    lines = [f"| data | known labels | best in hindsight | {' | '.join(WAYS)} |", "|---" * (3 + len(WAYS)) + "|"]
    for row in rows:
        if not row["data"].startswith("planted"):
            cells = [_cell(row[way]) for way in ("best", *WAYS)]
            lines.append(f"| {data_title(row['data'])} | `{row['known']}` | {' | '.join(cells)} |")
    return lines


def loss_table(rows: Sequence[Row]) -> list[str]:
    """Return a line for each way: how much less it agrees than the best in hindsight, on real and on planted data.

    Of planted trees the level counts that the sweep comes nearest to.
    """
    parts = {"real": [row for row in rows if not row["data"].startswith("planted")], "planted": _nearest(rows)}
    lines = ["| chosen by | real: mean loss (largest) | planted: mean loss (largest) |", "|---|---|---|"]
    for way in (*WAYS, *REJECTED):
        cells = []
        for part in parts.values():
            losses = [row["best"]["ari"] - (row[way]["ari"] if row[way] else 0.0) for row in part]
            cells.append(f"{statistics.mean(losses):.3f} ({max(losses):.2f})" if losses else "")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def _nearest(rows: Sequence[Row]) -> list[Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if row["data"].startswith("planted"):
            before = found.setdefault(row["data"], row)
            found[row["data"]] = max(before, row, key=lambda each: float(each["best"]["ari"]))
    return list(found.values())


def _cell(chosen: Row | None) -> str:
    return "" if chosen is None else f"{chosen['resolution']:g} ({chosen['clusters']}): {chosen['ari']:.3f}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the agreement of each way beside the best in hindsight."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if not row["data"].startswith("planted")] + _nearest(rows)
    figure, axes = plt.subplots(figsize=(9, 0.34 * len(shown) + 1.3))
    for at, row in enumerate(reversed(shown)):
        axes.plot([0, row["best"]["ari"]], [at, at], color="#dddddd", linewidth=5, solid_capstyle="butt", zorder=0)
        for way in ("silhouette", "bootstrap", "candidates", "advised"):
            if row[way]:
                marker = {"advised": "o", "candidates": "D"}.get(way, "|")
                axes.plot(row[way]["ari"], at, marker, color=COLORS[way], markersize=7 if marker != "D" else 4,
                          markeredgewidth=2 if marker == "|" else 0.5, label=way if at == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(shown)), [f"{data_title(row['data'])}, {row['known']}" for row in reversed(shown)])
    axes.set_xlabel("adjusted Rand index with known labels (bar: the best in hindsight)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.4, 1.0 + 1.2 / len(shown)), ncols=4)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
