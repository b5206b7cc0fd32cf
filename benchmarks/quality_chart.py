"""`python -m benchmarks.quality_chart JSON [PNG]`: the tables of docs/stability.md, and its chart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import TITLES, data_title

WAYS = {
    "igraph": ("#999999", "o"),
    "igraph, converged": ("#999999", "s"),
    "single": ("#000000", "o"),
    "best of 8 converged": ("#555555", "s"),
    "ensemble 8": ("#0072B2", "o"),
    "ensemble 16": ("#009E73", "o"),
    "ensemble 32": ("#D55E00", "o"),
    "ensemble auto": ("#CC79A7", "D"),
}


def main(path: str, png: str | None = None) -> None:
    """Print the tables, and draw the chart into a PNG if one is named."""
    document = json.loads(Path(path).read_text())
    for part in (level1_table, levels_table, known_table, bound_table):
        print("\n".join(part(document)), end="\n\n")
    if png:
        draw(document["level1"], Path(png))


def level1_table(document: dict[str, Any]) -> list[str]:
    """Return three tables, a column for each way: agreement between seeds, quality, and CPU seconds."""
    rows = document.get("level1", [])
    ways = [way for way in WAYS if any(row["what"] == way for row in rows)]
    lines = []
    for title, cell in {"ARI": _ari, "quality": _quality, "CPU s": lambda row: f"{row['cpu']:.2f}"}.items():
        lines += [f"| {title} | resolution | " + " | ".join(ways) + " |", "|---" * (2 + len(ways)) + "|"]
        for data, resolution in dict.fromkeys((row["data"], row["resolution"]) for row in rows):
            own = {row["what"]: row for row in rows if (row["data"], row["resolution"]) == (data, resolution)}
            cells = [cell(own[way]) if way in own else "" for way in ways]
            lines.append(f"| {data_title(data)} | {resolution} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def _ari(row: dict[str, Any]) -> str:
    """The mean over pairs of seeds; for `auto` the numbers of runs too."""
    runs = sorted(set(row["runs"])) if row["what"] == "ensemble auto" else []
    return _number((row["ari"] or {}).get("mean")) + (f" ({', '.join(map(str, runs))} runs)" if runs else "")


def _quality(row: dict[str, Any]) -> str:
    """The lowest and the highest of all seeds."""
    low, high = min(row["quality"]), max(row["quality"])
    return f"{low:.4f}" if f"{low:.4f}" == f"{high:.4f}" else f"{low:.4f} to {high:.4f}"


def levels_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each way to grow trees: how far seeds agree at each level."""
    lines = [
        "| data | resolution | what | level 1 | level 2 | level 3 | modularity of level 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in [row for row in document.get("trees", []) if "levels" in row]:
        levels = " | ".join(_number((level or {}).get("mean")) for level in row["levels"])
        name = data_title(row["data"])
        lines.append(f"| {name} | {row['resolution']} | {row['what']} | {levels} | {_mean(row['modularity']):.3f} |")
    return lines


def known_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each known column: NMI and ARI of each way, means over seeds."""
    rows = [row for row in document.get("trees", []) if "known" in row]
    ways = list(dict.fromkeys(row["what"] for row in rows))
    lines = ["| data | known labels | " + " | ".join(f"{way}: NMI, ARI" for way in ways) + " |"]
    lines.append("|---" * (2 + len(ways)) + "|")
    for data, known in dict.fromkeys((row["data"], row["known"]) for row in rows):
        own = {row["what"]: row for row in rows if (row["data"], row["known"]) == (data, known)}
        cells = [
            f"{_mean(own[way]['best_nmi']):.3f}, {_mean(own[way]['best_ari']):.3f}" if way in own else ""
            for way in ways
        ]
        lines.append(f"| {data_title(data)} | `{known}` | " + " | ".join(cells) + " |")
    return lines


def bound_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each range of agreement."""
    rows = sorted(document.get("bound", []), key=lambda row: row["agreement_from"])
    names = [name for name in rows[0] if name.startswith("ari_of_")] if rows else []
    lines = [
        "| first runs agree from | splits | "
        + " | ".join(f"ensembles {name[4:].replace('_', ' ')}" for name in names)
        + " |"
    ]
    lines.append("|---" * (2 + len(names)) + "|")
    for row in rows:
        lines.append(
            f"| {row['agreement_from']} | {row['splits']} | " + " | ".join(f"{row[name]:.3f}" for name in names) + " |"
        )
    return lines


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each data set: agreement between seeds by resolution, a line for each way."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in TITLES if any(row["data"] == name for row in rows)]
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.4 * len(names), 3.6), layout="constrained", sharey=True, squeeze=False
    )
    for axis, name in zip(axes[0], names, strict=True):
        for way, (color, marker) in WAYS.items():
            own = [row for row in rows if row["data"] == name and row["what"] == way and row["ari"]]
            shown = {row["resolution"]: row["ari"]["mean"] for row in own}
            if shown:
                at = range(len(shown))
                dashed = "--" if "converged" in way or "auto" in way else "-"
                axis.plot(at, list(shown.values()), dashed, color=color, marker=marker, markersize=5, label=way)
                axis.set_xticks(at, [str(resolution) for resolution in shown])
        axis.set_title(TITLES[name], fontsize=10, loc="left")
        axis.set_xlabel("resolution")
        axis.set_ylim(0, 1.02)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("agreement between seeds (ARI)")
    handles = {
        label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
