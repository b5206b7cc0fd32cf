"""Make the README's figures of those of a run: `python docs/draw_figures.py FOLDER`, with `images`' folder of a file.

They are made smaller: at most 1,100 pixels wide, and of as many colours as keep a file below 210 kB.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

CHOSEN = {
    "figure_umap": ("umap/leiden_0.5_1.png", "umap/leiden_0.5_2.png"),
    "figure_composition": ("evaluation/leiden_0.5_1--ann_level_4.png",),
    "figure_agreement": ("evaluation/NMI.png",),
    "figure_resolutions": ("tree/clustree--leiden.png",),
    "figure_tree": ("tree/leiden_0.5.png",),
}
WIDEST, LARGEST = 1100, 210_000


def main(folder: str) -> None:
    """Write all into `docs`."""
    for name, paths in CHOSEN.items():
        image = beside_one_another([Image.open(Path(folder) / path).convert("RGB") for path in paths])
        image.thumbnail((WIDEST, WIDEST * 2), Image.Resampling.LANCZOS)
        (Path(__file__).parent / f"{name}.png").write_bytes(small(image))


def beside_one_another(images: list[Image.Image]) -> Image.Image:
    """Put images into a row."""
    whole = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)), "white")
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width
    return whole


def small(image: Image.Image) -> bytes:
    """Return a PNG with the most colours, chosen by k-means, that keep it small."""
    for colors in (256, 192, 128, 96, 64, 48, 32):
        data = io.BytesIO()
        image.quantize(colors, kmeans=6, dither=Image.Dither.NONE).save(data, "png", optimize=True)
        if data.tell() < LARGEST:
            break
    return data.getvalue()


if __name__ == "__main__":
    main(sys.argv[1])
