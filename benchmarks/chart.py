"""A bar chart of the wall times, a panel a data set, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the rows of one benchmark into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["data"] for row in rows))
    figure, axes = plt.subplots(
        len(names), 1, figsize=(7, 0.4 * len(rows) + 0.8 * len(names)), layout="constrained", squeeze=False, sharex=True
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        own = [row for row in rows if row["data"] == name][::-1]
        colours = ["#0072B2" if "server" in row["what"] else "#999999" for row in own]
        bars = axis.barh([row["what"] for row in own], [row["wall"] for row in own], color=colours)
        axis.bar_label(bars, [f"{row['wall']:.1f} s" for row in own], padding=3, fontsize=8)
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_xscale("log")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    axes[-1, 0].set_xlabel("wall time, seconds, everything included")
    figure.savefig(path, dpi=130)
    plt.close(figure)
