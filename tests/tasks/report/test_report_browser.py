"""The report in a real browser, headless and without a network: nothing fails, and it can be used by mouse and keys."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.evaluation.covariates import Numbers
from cellstrata.tasks.report.page import page as write_page
from tests.tasks.report.reports import TYPE, made, report
from tests.tasks.small_subjects import marked, subject_of_size

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium here: apt-get install chromium chromium-driver"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --disable-dev-shm-usage --force-device-scale-factor=1 --window-size=1300,1000"
)


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    url = report(folder, made(folder)).url
    assert url is not None
    return Path(url)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


def show(driver: Any, path: Path) -> None:
    """Open a page in light, what the console said before forgotten, and wait until it is ready."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme("light")]})
    driver.get_log("browser")
    driver.get(f"file://{path}")
    wait(driver, "document.body.dataset.ready")


@pytest.fixture
def page(chromium: Any, page_path: Path) -> Any:
    """The report, opened anew with the network off; afterwards the console has to be silent."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    chromium.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    show(chromium, page_path)
    yield chromium
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("without", ["view", "trees", "everything"])
def test_what_is_not_there_is_not_shown(chromium: Any, tmp_path: Path, without: str) -> None:
    subject = subject_of_size(400, 2)
    if without != "trees":
        subject = replace(subject, view=None)
    if without != "view":
        subject = replace(subject, tree=subject.tree[:0], facts={}, labels={})
    (tmp_path / "page.html").write_bytes(write_page(subject, "key"))
    chromium.get_log("browser")
    chromium.get(f"file://{tmp_path}/page.html")
    wait(chromium, "document.body.dataset.ready")
    shown = {section.get_attribute("id") for section in chromium.find_elements("css selector", "section:not([hidden])")}
    assert shown >= {"notices", "overview"}
    assert ("explore" in shown) == (without != "everything")
    assert ("clusters" in shown) == ("composition" in shown) == (without == "view")
    assert find(chromium, "#plot").is_displayed() == (without == "trees")
    if without == "view":
        assert "no UMAP" in find(chromium, "#explore-hint").text
        find(chromium, "#tree .row").click()
        assert "Cluster 0 of leiden_0.1_1" in find(chromium, "#detail").text
    assert chromium.get_log("browser") == []


def test_a_gene_is_a_colour(chromium: Any, tmp_path: Path) -> None:
    """Cells that have more of it are drawn later: of all in one place the last one is seen, whatever their order."""
    from selenium.webdriver.support.ui import Select

    subject = subject_of_size(2000, 1)
    assert subject.view is not None
    points = np.zeros_like(subject.view.points)
    points[0] = (1, 1)
    genes = tuple(Numbers(name, np.roll(np.arange(2000.0), at)) for name, at in (("CD3E", 0), ("MKI67", 900)))
    stacked = replace(subject, genes=genes, view=replace(subject.view, points=points))
    (tmp_path / "page.html").write_bytes(write_page(stacked, "key"))
    chromium.get_log("browser")
    chromium.get(f"file://{tmp_path}/page.html")
    wait(chromium, "document.body.dataset.ready")
    groups = chromium.find_elements("css selector", "#color-choice optgroup")
    assert [group.get_attribute("label") for group in groups] == ["Clusters", "Covariates", "Genes"]
    seen = []
    for name in ("CD3E", "MKI67"):
        Select(find(chromium, "#color-choice")).select_by_visible_text(name)
        image = pixels(chromium)
        seen.append(max(map(tuple, image[np.ptp(image, axis=2) > 150]), key=lambda rgb: rgb[0]))
        assert find(chromium, "#legend .ramp").is_displayed()
        assert f"color={name}" in chromium.execute_script("return location.hash")
    assert seen[0] == seen[1]  # the end of the ramp, though other cells have most of it
    assert seen[0][1] > 180 > seen[0][2]
    assert chromium.get_log("browser") == []


@pytest.fixture
def unsteady(chromium: Any, tmp_path: Path) -> Any:
    """A report of two trees; of the first, cluster 3 and what is below it is lost with other seeds."""
    subject = subject_of_size(2000, 2)
    first = subject.tree["column"].isin(["leiden_0.1_1", "leiden_0.1_2"])
    lost = first & subject.tree["cluster"].str.match("3($|_)")
    tree = subject.tree.assign(stability=np.where(lost, 0.25, np.where(first, 0.9, np.nan)), runs=8, agreement=0.5)
    stability = {}
    for column in ("leiden_0.1_1", "leiden_0.1_2"):
        of_lost = pd.Series(subject.labels[column].astype(str)).str.match("3($|_)")
        stability[column] = np.where(of_lost, 0.25, 0.9).astype(np.float32)
    (tmp_path / "page.html").write_bytes(write_page(replace(subject, tree=tree, stability=stability), "key"))
    show(chromium, tmp_path / "page.html")
    yield chromium
    assert chromium.get_log("browser") == []


def ramp(driver: Any, part: float) -> list[int]:
    found: list[int] = driver.execute_script(
        "return getComputedStyle(document.querySelector('#legend .ramp')).backgroundImage.match(/\\d+, \\d+, \\d+/g)"
        f"[{round(8 * part)}].split(', ').map(Number)"
    )
    return found


def near(image: np.ndarray[Any, Any], color: list[int]) -> int:
    """How many pixels have a colour, but for the rounding of its 9 stops."""
    return int((np.abs(image - color).max(axis=2) < 30).sum())


def test_stability_is_a_colour_with_a_legend(unsteady: Any) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    assert "stability below 0.5" in find(unsteady, "#unstable").text
    groups = unsteady.find_elements("css selector", "#color-choice optgroup")
    assert [group.get_attribute("label") for group in groups] == ["Clusters", "Stability", "Covariates"]
    choice = find(unsteady, "#color-choice")
    Select(choice).select_by_visible_text("leiden_0.1_1_stability")
    find(unsteady, "#label-choice").click()
    image = pixels(unsteady)
    high, low = ramp(unsteady, 0.9), ramp(unsteady, 0.25)
    assert near(image, high) > 5 * near(image, low) > 50
    assert find(unsteady, "#legend .ends").text.split() == ["0", "0.5", "1"]
    assert "other seeds do not find a cluster again" in find(unsteady, "#legend").text
    find(unsteady, '#tree [aria-label^="3, "] > .row').click()
    assert near(pixels(unsteady), high) == 0 < near(pixels(unsteady), low)
    assert "color=leiden_0.1_1_stability" in unsteady.execute_script("return location.hash")

    choice.send_keys(Keys.ARROW_DOWN)
    assert find(unsteady, "#legend-title").text == "leiden_0.1_2_stability"
    choice.send_keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    assert find(unsteady, "#legend-title").text == "leiden_0.2_1"


def test_stability_stands_in_the_tree_the_table_and_the_panel(unsteady: Any) -> None:
    from selenium.webdriver.support.ui import Select

    item = find(unsteady, '#tree [aria-label^="3, "]')
    assert item.get_attribute("aria-label").endswith(", stability 0.25")
    bars = unsteady.find_elements("css selector", "#tree .stability")
    assert [float(bar.find_element("css selector", "i").rect["width"]) / bar.rect["width"] for bar in bars[:4]] == (
        pytest.approx([0.9, 0.9, 0.9, 0.25], abs=0.02)
    )
    assert ["low" in (bar.get_attribute("class") or "") for bar in bars[:4]] == [False, False, False, True]
    item.find_element("css selector", ".row").click()
    assert "0.25 of 1: other seeds do not find it again" in find(unsteady, "#detail").text
    assert "8, joined; they agree with ARI 0.50" in find(unsteady, "#detail").text
    row = find(unsteady, "#clusters-rows tr.chosen").text
    assert "0.25" in row
    Select(find(unsteady, "#tree-choice")).select_by_visible_text("leiden 0.2")
    assert find(unsteady, "#tree [aria-selected]").get_attribute("aria-label").endswith("split into 6")


def scheme(name: str) -> dict[str, str]:
    return {"name": "prefers-color-scheme", "value": name}


def wait(driver: Any, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60, 0.05).until(lambda _: driver.execute_script(f"return Boolean({condition})"))


def settled(driver: Any) -> None:
    """Wait until what was changed has been drawn."""
    driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


def pixels(driver: Any) -> np.ndarray[Any, Any]:
    """The plot's pixels as (height, width, 3)."""
    from PIL import Image

    settled(driver)
    data = driver.execute_script("return document.getElementById('plot').toDataURL('image/png')").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def colorful(image: np.ndarray[Any, Any]) -> int:
    return int((np.ptp(image, axis=2) > 40).sum())


def find(driver: Any, css: str) -> Any:
    return driver.find_element("css selector", css)


def press(driver: Any, css: str) -> None:
    """Click what may be under the header, once it is not."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element := find(driver, css))
    element.click()


def test_a_click_in_the_tree_shows_its_cells(page: Any) -> None:
    whole = colorful(pixels(page))
    assert whole > 500
    find(page, '#tree [aria-label^="1, "] > .row').click()
    shown = pixels(page)
    assert 0 < colorful(shown) < whole / 2
    assert (
        find(page, "#tree [aria-selected='true']").get_attribute("aria-label").startswith("1, 100 cells, 33 % of all")
    )
    detail = find(page, "#detail").text
    assert "Cluster 1 of leiden_0.3_1" in detail
    assert "100, 33 % of all" in detail
    assert "<i>type 1</i></script>" in detail
    assert TYPE in detail
    assert "Cluster 1 of leiden_0.3_1: 100 cells" in find(page, "#said").get_attribute("textContent")
    assert find(page, "#clusters-rows tr.chosen th").text == "1"
    assert page.execute_script("return location.hash").startswith("#column=leiden_0.3_1&cluster=1")


def test_the_keyboard_moves_through_the_tree_and_the_plot(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.querySelector('#tree [tabindex=\"0\"]').focus()")
    before = page.switch_to.active_element.get_attribute("aria-label")
    assert before.startswith("0, 150 cells")
    for key in (Keys.ARROW_RIGHT, Keys.ENTER):
        page.switch_to.active_element.send_keys(key)
    assert find(page, "#tree [aria-selected='true']").get_attribute("aria-label").startswith("0_0, ")
    page.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.switch_to.active_element.get_attribute("aria-label") == before
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert "No cluster is chosen" in find(page, "#detail").text
    assert len(page.find_elements("css selector", "#tree [tabindex='0']")) == 1

    first = pixels(page)
    canvas = find(page, "#plot")
    canvas.send_keys("+", Keys.ARROW_LEFT)
    assert (pixels(page) != first).any()
    canvas.send_keys("0")
    assert (pixels(page) == first).all()


def test_a_click_in_the_plot_chooses_the_cluster_there(page: Any) -> None:
    from selenium.webdriver import ActionChains

    image = pixels(page)
    rows, columns = np.nonzero(np.ptp(image, axis=2) > 60)
    canvas = find(page, "#plot")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    height, width, _ = image.shape
    ActionChains(page).move_to_element_with_offset(
        canvas, int(columns[0]) - width // 2, int(rows[0]) + 3 - height // 2
    ).click().perform()
    assert "of leiden_0.3_1" in find(page, "#detail h3").text
    assert "leiden_0.3_1" in find(page, "#tip").text
    assert "donor" in find(page, "#tip").text


def test_colours_legend_and_tables(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    Select(find(page, "#color-choice")).select_by_visible_text("donor")
    entries = page.find_elements("css selector", "#legend button")
    assert [entry.find_element("css selector", ".text").text for entry in entries] == [f"d{i}" for i in range(12)]
    whole = colorful(pixels(page))
    entries[0].click()
    assert entries[0].get_attribute("aria-pressed") == "false"
    assert colorful(pixels(page)) < whole
    find(page, "#legend-none").click()
    assert colorful(pixels(page)) == 0
    Select(find(page, "#color-choice")).select_by_visible_text("depth")
    assert "no value: 3 cells" in find(page, "#legend").text
    assert colorful(pixels(page)) > 500

    heads = page.find_elements("css selector", "#columns thead button")
    heads[2].click()
    column = [int(cell.text) for cell in page.find_elements("css selector", "#columns tbody td:nth-child(3)")]
    assert column == sorted(column, reverse=True)
    heads[2].click()
    column = [int(cell.text) for cell in page.find_elements("css selector", "#columns tbody td:nth-child(3)")]
    assert column == sorted(column)
    find(page, "#clusters-find").send_keys("1")
    assert [row.text for row in page.find_elements("css selector", "#clusters-rows tbody th")] == ["1"]


def test_light_and_dark(page: Any, tmp_path: Path) -> None:
    def background() -> str:
        return str(page.execute_script("return getComputedStyle(document.body).backgroundColor"))

    def corner() -> int:
        return int(pixels(page)[2, 2].sum())

    assert background() == "rgb(244, 245, 247)"
    assert corner() > 700
    assert page.save_screenshot(str(tmp_path / "light.png"))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme("dark")]})
    settled(page)
    assert background() == "rgb(15, 18, 22)"
    assert corner() < 100
    assert page.save_screenshot(str(tmp_path / "dark.png"))
    find(page, "#theme").click()
    assert background() == "rgb(244, 245, 247)"
    page.execute_script("localStorage.clear()")


def test_on_a_small_screen_nothing_is_cut_off(page: Any) -> None:
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        settled(page)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def dotted(chromium: Any, tmp_path: Path) -> Any:
    """A report of two trees with marker genes."""
    (tmp_path / "page.html").write_bytes(write_page(marked(subject_of_size(2000, 2)), "key"))
    show(chromium, tmp_path / "page.html")
    yield chromium
    assert chromium.get_log("browser") == []


def dots(driver: Any) -> list[dict[str, Any]]:
    """The dots of the plot of marker genes: what is said of each, its radius, place and colour."""
    found: list[dict[str, Any]] = driver.execute_script(
        "return [...document.querySelectorAll('#dotplot .values circle')].map((dot) => ({ said: dot.textContent, "
        "r: dot.r.baseVal.value, x: dot.cx.baseVal.value, y: dot.cy.baseVal.value, "
        "part: Number(dot.style.getPropertyValue('--part')), fill: getComputedStyle(dot).fill }))"
    )
    return found


def test_the_dot_plot_follows_what_is_chosen(dotted: Any) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    rows = [row.text for row in dotted.find_elements("css selector", "#dotplot [data-cluster] text:last-child")]
    assert [row.split(" ")[0] for row in rows] == [str(i) for i in range(12)]
    first = dots(dotted)
    assert len({dot["x"] for dot in first}) <= 2 * 12  # two genes of each
    assert len({dot["y"] for dot in first}) == 13  # all cells last
    of_share = sorted((float(re.search(r"([\d.]+) %", dot["said"])[1]), dot["r"]) for dot in first)  # type: ignore[index]
    assert [r for _, r in of_share] == sorted(r for _, r in of_share)
    assert len({dot["fill"] for dot in first}) > 20
    names = {dot["said"].split(" in ")[0] for dot in first}
    Select(find(dotted, "#dotplot-against")).select_by_visible_text("all others")
    assert names != {dot["said"].split(" in ")[0] for dot in dots(dotted)}
    Select(find(dotted, "#dotplot-count")).select_by_visible_text("5")
    assert len({dot["x"] for dot in dots(dotted)}) > 2 * 12
    Select(find(dotted, "#dotplot-scale")).select_by_visible_text("mean, of the gene's highest")
    by_gene = defaultdict(list)
    for dot in dots(dotted):
        by_gene[dot["x"]].append(dot["part"])
    assert {max(parts) for parts in by_gene.values()} == {1.0}

    press(dotted, '#tree [aria-label^="3, "] .twist')
    press(dotted, '#tree [aria-label^="3_1, "] > .row')
    assert find(dotted, "#dotplot-family").get_property("selectedOptions")[0].text == "leiden_0.1_2: children of 3"
    assert find(dotted, "#dotplot .chosen").get_attribute("aria-label").startswith("Cluster 3_1, ")
    press(dotted, "#dotplot [aria-label^='Cluster 3_4,'] text")
    assert "Cluster 3_4 of leiden_0.1_2" in find(dotted, "#detail").text
    assert find(dotted, "#dotplot .chosen").get_attribute("aria-label").startswith("Cluster 3_4, ")
    dotted.execute_script("document.querySelector('#dotplot [data-cluster]').focus()")
    dotted.switch_to.active_element.send_keys(Keys.ENTER)
    assert "Cluster 3_0 of leiden_0.1_2" in find(dotted, "#detail").text
    assert dotted.switch_to.active_element.get_attribute("aria-label").startswith("Cluster 3_0, ")
    dotted.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme("dark")]})
    settled(dotted)
    dark = dots(dotted)
    dotted.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme("light")]})
    settled(dotted)
    assert {dot["fill"] for dot in dark} != {dot["fill"] for dot in dots(dotted)}


def test_there_is_no_dot_plot_without_marker_genes(page: Any) -> None:
    assert not find(page, "#dotplot").is_displayed()
