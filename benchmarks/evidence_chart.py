"""`python -m benchmarks.evidence_chart JSON [PNG]`: the tables of docs/evidence.md, and its chart."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.rows import KNOWN, data_title

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
Row = dict[str, Any]


def main(path: str, png: str | None = None) -> None:
    """Print the tables, and draw the chart into a PNG if one is named."""
    document = json.loads(Path(path).read_text())
    for part in (null_table, power_table, real_table, cost_table):
        print("\n".join(part(document)), end="\n\n")
    if png:
        draw(document, Path(png))


def null_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each resolution: how many clouds without groups are split."""
    lines = ["| resolution | clouds | split without rules | with | most replicable that was refused or not |",
             "|---|---|---|---|---|"]  # fmt: skip
    for row in document.get("null", []):
        way = "auto" if row["way"] == "stop: auto" else "until stable"
        found, excess, shape, n_cells, n_dims = row["most_replicable"][0]
        most = f"{found:.2f}, excess {excess:z.2f} ({shape}, {n_cells:,} cells, {n_dims} dimensions)"
        shares = f"{row['split_without']:.0%} | {row['split']:.1%}"
        lines.append(f"| {row['resolution']}, {way} | {row['clouds']} | {shares} | {most} |")
    return lines


def power_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each separation: planted splits found and branches of exact depth, by resolution."""
    rows = document.get("power", [])
    resolutions = list(dict.fromkeys(row["resolution"] for row in rows))
    lines = ["| apart | splits | branches | " + " | ".join(f"found, exact at {one}" for one in resolutions) + " |"]
    lines.append("|---" * (3 + len(resolutions)) + "|")
    for separation in dict.fromkeys(row["separation"] for row in rows):
        own = {row["resolution"]: row for row in rows if row["separation"] == separation}
        first = next(iter(own.values()))
        cells = [
            f"{own[one]['splits_found']:.0%}, {own[one]['depth_exact']:.0%}" if one in own else ""
            for one in resolutions
        ]
        lines.append(f"| {separation} | {first['splits']} | {first['branches']} | {' | '.join(cells)} |")
    return lines


def real_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each way on each data set: clusters, and agreement with known labels."""
    rows = document.get("real", [])
    known = [name for name in KNOWN if any(name in row for row in rows)]
    lines = ["| data | resolution | way | clusters | " + " | ".join(f"`{name}`: ARI, NMI" for name in known) + " |"]
    lines.append("|---" * (4 + len(known)) + "|")
    for row in rows:
        cells = [f"{row[name]['ari']:.3f}, {row[name]['nmi']:.3f}" if name in row else "" for name in known]
        levels = f" ({row['levels']} levels)" if "levels" in row else ""
        name = data_title(row["data"])
        lines.append(
            f"| {name} | {row['resolution']} | {row['way']}{levels} | {row['clusters']} | {' | '.join(cells)} |"
        )
    return lines


def cost_table(document: dict[str, Any]) -> list[str]:
    """Return a line for each data set: CPU seconds of splits, and of all evidence for them."""
    lines = ["| data | resolution | ensemble | splits, CPU s | evidence, CPU s | ratio |", "|---|---|---|---|---|---|"]
    for row in document.get("cost", []):
        name = data_title(row["data"])
        lines.append(
            f"| {name} | {row['resolution']} | {row['ensemble']} | {row['splits']:.1f} | {row['evidence']:.1f} | "
            f"{row['ratio']:.2f} |"
        )
    return lines


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw how many clouds are split, and how many planted splits and leaves are found."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (null, found, exact) = plt.subplots(1, 3, figsize=(11, 3.4), width_ratios=(1.1, 1, 1))
    rows = document["null"]
    names = [f"{row['resolution']}" if row["way"] == "stop: auto" else "until\nstable" for row in rows]
    null.bar([at - 0.2 for at in range(len(rows))], [row["split_without"] for row in rows], 0.4, color="#999999")
    null.bar([at + 0.2 for at in range(len(rows))], [row["split"] for row in rows], 0.4, color=COLORS[0])
    null.axhline(0.05, color="#d55e00", linewidth=0.9, linestyle="--")
    null.set_xticks(range(len(rows)), names)
    null.set_title("clouds without groups that are split\n(gray: without rules; blue: with; dashes: 5 %)", fontsize=9)
    null.set_xlabel("resolution")
    power = document["power"]
    for number, resolution in enumerate(dict.fromkeys(row["resolution"] for row in power)):
        own = [row for row in power if row["resolution"] == resolution]
        x = [row["separation"] for row in own]
        for axes, key in ((found, "splits_found"), (exact, "depth_exact")):
            axes.plot(x, [row[key] for row in own], marker="o", color=COLORS[number], label=f"resolution {resolution}")
    for axes, title, bar in ((found, "planted splits found", 0.95), (exact, "branches of exact depth", 0.9)):
        axes.axhline(bar, color="#d55e00", linewidth=0.9, linestyle="--")
        axes.set_title(f"{title}\n(of those an oracle tells by 95 %; dashes: the bar)", fontsize=9)
        axes.set_xlabel("standard deviations between sisters")
        axes.set_ylim(0, 1.02)
    found.legend(fontsize=8, loc="lower right", frameon=False)
    for axes in (null, found, exact):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
