"""Reports of small results, and what they hold, read back as a browser does."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import WrittenPage, write_report
from tests.tasks.finished_results import Made, make_result, write_input
from tests.tasks.small import blobs, cache_at

VOID = {"meta", "input", "link", "br", "hr", "img"}
NAUGHTY = "</script><img src=x onerror=alert(1)> & \"quoted\" 'too'"
TYPE = "<img src=x onerror=alert(1)> & 'type'"
RUN = RunFacts(executed=3, cached=1, seconds=1.25, notices=(f"mind <b>this</b> {NAUGHTY}",))


@dataclass
class Page(HTMLParser):
    """A parsed page: its texts, its tags, the JSON and the arrays in it; tags that do not close are an error."""

    text: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    open: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, name = self.open[-1] if self.open else ("", None)
        if tag == "script":
            self.scripts[name or ""] = self.scripts.get(name or "", "") + data
        elif tag != "style":
            self.text.append(data)

    @property
    def facts(self) -> dict[str, Any]:
        """The JSON of the page."""
        found: dict[str, Any] = json.loads(self.scripts["facts"])
        return found

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """An array of the page."""
        offset, size, width = self.facts["arrays"][name]
        data = np.frombuffer(zlib.decompress(base64.b64decode(self.scripts["arrays"])), np.uint8)
        planes = data[offset : offset + size * width].reshape(width, size)
        return np.ascontiguousarray(planes.T).view(f"<u{width}").ravel()


def parsed(html: bytes | str) -> Page:
    """Parse a page; every element has to be closed."""
    page = Page()
    page.feed(html if isinstance(html, str) else html.decode())
    page.close()
    assert not page.open
    return page


def write_cells(folder: Path, *, umap: bool = True, n: int = 300) -> str:
    """Write an h5ad of three clouds, each of two: an embedding, a UMAP, covariates with awkward names and values."""
    cells, cloud = blobs([n // 2, n // 3, n - n // 2 - n // 3], spread=30)
    cells[:, 4] += np.where(np.arange(n) % 2, 1.3, -1.3)  # each cloud is two
    obs = pd.DataFrame(
        {
            TYPE: pd.Categorical([f"<i>type {c}</i></script>" for c in cloud]),
            "donor": pd.Categorical([None if i % 50 == 0 else f"d{i % 12}" for i in range(n)]),
            "depth": np.where(np.arange(n) % 100 == 0, np.nan, cells[:, 0]),
        },
        index=pd.Index([f"c{i}" for i in range(n)], dtype=object),
    )
    obsm = {"X_pca": cells} | ({"X_umap": cells[:, :2] * 2} if umap else {})
    ad.AnnData(obs=obs, obsm=obsm).write_h5ad(folder / "in.h5ad")
    return str(folder / "in.h5ad")


COLORS = [TYPE, "donor", "depth"]


def made(folder: Path, *, umap: bool = True, n: int = 300, **settings: Any) -> Made:
    """Cluster the cells of `write_cells` at two resolutions and three levels."""
    asked = {"resolutions": [0.3, 1.0], "hierarchy": 3, "umap_colors": COLORS, "neighbors": {"n_neighbors": 10}}
    return make_result(folder, write_cells(folder, umap=umap, n=n), asked | settings)


def cloud(folder: Path, **settings: Any) -> Made:
    """Cluster 700 cells of one cloud at two levels: no two runs agree."""
    cells = np.random.default_rng(5).normal(size=(700, 20)).astype(np.float32)
    asked = {"resolutions": [1.0], "hierarchy": 2, "neighbors": {"n_neighbors": 10}}
    return make_result(folder, write_input(folder, cells), asked | settings)


def report(folder: Path, result: Made, run: RunFacts = RUN) -> WrittenPage:
    """Write the report of a result into `images` of a folder."""
    return write_report(result.finished, run, str(folder / "images"), cache_at(folder / "cache"), {})
