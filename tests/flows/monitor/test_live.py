"""What a run shows while it lasts and at its end: an estimate, figures, and what Prefect keeps of them."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cellstrata.configs import RunConfig
from cellstrata.configs.errors import ConfigError
from cellstrata.flows.assets import asset_key
from cellstrata.flows.commands.estimate import Estimate, spoken
from cellstrata.flows.monitor.artifacts import artifact_key, plain_text, readable_place, visitable
from cellstrata.tasks.figures.request import wants_figures
from tests.flows.conftest import Run

SETTINGS = {"neighbors_key": "neighbors", "hierarchy": 2, "umap_colors": ["bulk_labels"]}


def told(pace: list[float], total: int = 1000, parts: int = 40) -> list[tuple[float, float]]:
    """Return (said, true) seconds left, at each of `parts` notes that come after `pace` seconds each, repeated."""
    estimate, now, times = Estimate(total), 0.0, [0.0]
    for i in range(parts):
        times.append(times[-1] + pace[i * len(pace) // parts])
    said = []
    for part, now in enumerate(times):
        estimate.note(now, part * total // parts)
        left = estimate.left(now)
        if left is not None:
            said.append((left, times[-1] - now))
    return said


def test_at_a_steady_pace_the_estimate_is_right() -> None:
    assert all(said == pytest.approx(max(true, 1), abs=0.5) for said, true in told([2.0]))


def test_when_it_slows_down_the_estimate_follows_and_does_not_jump() -> None:
    said = told([1.0, 3.0])
    assert said[-6][0] == pytest.approx(said[-6][1], rel=0.35)
    assert all(after < before + 12 for (before, _), (after, _) in pairwise(said))
    assert sum(after > before for (before, _), (after, _) in pairwise(said)) < 15


def test_without_news_it_counts_down_and_never_says_nothing_is_left() -> None:
    estimate = Estimate(100)
    assert estimate.left(0) is None
    estimate.note(0, 0)
    estimate.note(10, 50)
    assert (estimate.left(10), estimate.left(14), estimate.left(60)) == (10, 6, 1)
    assert [spoken(s) for s in (None, 4, 62, 600, 7200)] == [
        "", "about 4 s left", "about 60 s left", "about 10 min left", "about 2.0 h left",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "run", "expected"),
    [
        ({}, {}, False),
        ({"umap_colors": ["a"]}, {}, True),
        ({"plots": {"plot_centroids": ["a"]}}, {}, True),
        ({}, {"images": "elsewhere"}, True),
        ({}, {"figures": True}, True),
        ({"umap_colors": ["a"]}, {"figures": False}, False),
    ],
)
def test_figures_are_drawn_for_those_who_ask(settings: dict[str, Any], run: dict[str, Any], expected: bool) -> None:
    clustering = {"algorithm": "leiden", "resolutions": 1, **settings}
    config = RunConfig(
        output_dir="out", DATASETS={"d": {"input": {"clustering": "x"}, "clustering": clustering}}, **run
    )
    assert wants_figures(config, "d") is expected


def test_figures_takes_three_words() -> None:
    data = {"d": {"input": {"clustering": "x"}, "clustering": {"algorithm": "leiden", "resolutions": 1}}}
    with pytest.raises(ConfigError, match="true, false or `auto`"):
        RunConfig(output_dir="out", figures="maybe", DATASETS=data)


def test_urls_are_shown_without_what_is_secret() -> None:
    assert visitable("https://user:password@host/a.zarr?sig=abc") == "https://host/a.zarr"
    assert readable_place("s3://user:password@host/a.zarr") == "s3://host/a.zarr"
    assert (visitable("/data/a b"), readable_place("/data/a b")) == ("file:///data/a%20b", "/data/a b")
    assert asset_key("s3://bucket/a b/c.zarr") == "s3://bucket/a_b/c.zarr"
    assert asset_key("/data/dataset~d/file_id~f.zarr") == "file:///data/dataset~d/file_id~f.zarr"
    assert artifact_key("Lung/core_1", "columns") == "lung-core-1-columns"


async def kept(**filters: Any) -> tuple[list[Any], list[Any]]:
    """Return Prefect's artifacts and asset events."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        artifacts = (await client._client.post("/artifacts/filter", json={"limit": 200, "sort": "CREATED_DESC"})).json()
        asked = {"filter": {"event": {"prefix": ["prefect.asset."]}}, "limit": 50}
        for _ in range(800):  # events arrive a little later, on a busy machine much later
            events = (await client._client.post("/events/filter", json=asked)).json()["events"]
            if any(event["resource"]["prefect.resource.id"] == filters["asset"] for event in events):
                break
            await asyncio.sleep(0.25)
    return artifacts, events


def test_a_run_draws_once_and_tells_prefect(one: Run, pbmc: Path, tmp_path: Path) -> None:
    images = str(tmp_path / "images")
    report = one(pbmc, SETTINGS, images=images, figures="auto", report=True)
    folder = Path(images) / "clustering" / "dataset~d" / "file_id~f"
    assert report["figures"] == str(folder)
    assert report["notices"] == []
    for name in ("umap/bulk_labels", "umap/leiden_0.5_2", "evaluation/leiden_0.5_1--bulk_labels", "tree/leiden_0.5"):
        assert (folder / f"{name}.png").is_file()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = one(pbmc, SETTINGS, images=images, figures="auto", report=True)
    assert not again["written"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before

    made = asset_key(report["output"])
    artifacts, events = asyncio.run(kept(asset=made))
    ours = [artifact for artifact in artifacts if str(artifact["key"]).startswith("d-f-")]
    assert {artifact["type"] for artifact in ours} == {"table", "markdown", "progress"}
    tables = [json.loads(a["data"]) for a in ours if a["key"] == "d-f-columns" and '"cached": 0' in a["data"]]
    told = [{row["column"]: row["clusters"] for row in rows} for rows in tables]  # other tests' runs tell theirs
    assert report["clusters"] in told
    assert list(report["clusters"]) == ["leiden_0.5_1", "leiden_0.5_2"]
    assert any(artifact["data"] == 100.0 for artifact in ours if artifact["type"] == "progress")
    event = next(event for event in events if event["resource"]["prefect.resource.id"] == made)
    assert event["event"] == "prefect.asset.materialization.succeeded"
    assert asset_key(str(pbmc)) in {each["prefect.resource.id"] for each in event["related"]}


def test_figures_in_a_bucket(s3: str, one: Run, pbmc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Result, figures and report in S3 are all there; a second run writes nothing, and what is gone is drawn again."""
    import s3fs

    settings = SETTINGS | {"umap_colors": ["bulk_labels", "n_genes", "CD8A"]}
    report = one(pbmc, settings, output_dir=f"{s3}/out", figures="auto", report=True)
    assert report["figures"] == f"{s3}/out/images/clustering/dataset~d/file_id~f"
    (notice,) = report["notices"]
    assert "refers to data on this machine" in notice
    bucket = s3fs.S3FileSystem(use_listings_cache=False)
    place = report["figures"].removeprefix("s3://")

    def there() -> dict[str, tuple[str, Any]]:
        found = bucket.find(place, detail=True, refresh=True)
        return {path.removeprefix(f"{place}/"): (info["ETag"], info["LastModified"]) for path, info in found.items()}

    first = there()
    expected = {f"umap/{name}.png" for name in ("leiden_0.5_2", "bulk_labels", "n_genes", "genes_group=0")}
    expected |= {f"evaluation/leiden_0.5_{level}--{of}.png" for level in (1, 2) for of in ("bulk_labels", "n_genes")}
    assert expected | {"tree/leiden_0.5.png", "tree/leiden_0.5.svg", "figures.json", "report.html"} <= first.keys()
    assert bucket.cat(f"{place}/umap/n_genes.png").startswith(b"\x89PNG")

    with monkeypatch.context() as patched:
        patched.setattr("cellstrata.flows.figures.draw_figures", lambda *_: 1 / 0)
        again = one(pbmc, settings, output_dir=f"{s3}/out", figures="auto", report=True)
    assert again["notices"] == [notice]
    assert (again["written"], again["report_written"]) == (False, False)
    assert there() == first

    bucket.rm(f"{place}/umap/n_genes.png")
    assert one(pbmc, settings, output_dir=f"{s3}/out", figures="auto", report=True)["notices"] == [notice]
    assert {path: etag for path, (etag, _) in there().items() if path != "figures.json"} == {
        path: etag for path, (etag, _) in first.items() if path != "figures.json"
    }


def test_figures_that_cannot_be_drawn_are_a_notice(
    one: Run, pbmc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr("cellstrata.flows.figures.draw_figures", broken)
    report = one(pbmc, SETTINGS, figures="auto")
    assert report["written"]
    assert "figures" not in report
    assert [notice for notice in report["notices"] if "figures could not be drawn (ValueError: no ink)" in notice]


def test_without_being_asked_nothing_is_drawn(one: Run, pbmc: Path, tmp_path: Path) -> None:
    report = one(pbmc, {"neighbors_key": "neighbors"}, figures="auto")
    assert "figures" not in report
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    "name",
    [
        '</script><img src=x onerror=alert(1)> & "quoted"',
        "![a](https://example.org/x.png) [b](javascript:alert(1))",
        "a\n\n# b\n<b>c</b>\n\n    code",
        "`x` &lt;b&gt; \\<i>",
        "<https://example.org>",
    ],
)
def test_names_are_text_in_what_prefect_renders_as_markdown(name: str) -> None:
    from markdown_it import MarkdownIt  # rich brings it

    reader = MarkdownIt("commonmark")  # which lets HTML through
    assert any(part in reader.render(name) for part in ("<img", "<b>", "<a ", "<code>", "<i>"))  # as it is
    shown = reader.render(f"### {plain_text(name)}\n\n![{plain_text(name)}](data:image/webp;base64,AAAA)")
    tags = {part.split(">")[0].split(" ")[0] for part in shown.split("<")[1:]}
    assert tags <= {"h3", "/h3", "p", "/p", "img"}
    assert shown.count("<img") == 1
    assert plain_text("my_set/cells 1.0") == "my_set/cells 1.0"
