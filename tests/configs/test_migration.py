from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from old_configurations import CASES, DOCUMENTED, LEIDEN, TOP, one

from cellstrata.configs import ClusteringConfig, ConfigError, RunConfig, load_config
from cellstrata.configs.dataset import file_id
from cellstrata.configs.loading.yaml_reader import read_config
from cellstrata.configs.loading.yaml_writer import written
from cellstrata.configs.migration.document import migrated
from cellstrata.flows.commands.command import main

Load = Callable[..., tuple[RunConfig, list[str]]]
# What is said again of a file that needs no more migrating, as its words are those of an old file.
UNAVOIDABLE = (
    "names the output of",
    "ignored the resolution",
    "what is not given here",
    "scAtlasTb used GPUs",
    "clustered this stored one",
)


SINGLE = "one run of Leiden for each split, as with scAtlasTb"


def rewritten(text: str) -> tuple[dict[str, Any], list[str], str]:
    new, notes = migrated(read_config(text, "old.yaml").data)
    return new, notes, written(new, notes)


@pytest.mark.parametrize("name", CASES)
def test_old_configurations(name: str, load: Load) -> None:
    old, differs, words = CASES[name]
    new, notes, text = rewritten(old)
    config, notices = load(text)
    for word in words:
        assert any(word in note for note in notes), (word, notes)
    assert words or not [note for note in notes if SINGLE not in note]
    assert all(line.startswith("# ") for line in text.splitlines()[: len(notes)])
    assert not notices
    clustering = next(iter(config.DATASETS.values())).clustering
    if name != "documented":
        alone = differs.get("algorithm") == "louvain"  # of which there is one run in any case
        expected = {"algorithm": "leiden", "resolutions": [0.5], **({} if alone else {"ensemble": 1}), **differs}
        assert clustering == ClusteringConfig.model_validate(expected)

    data = read_config(text, "new.yaml").data
    assert data == new
    again, more, _ = rewritten(text)
    assert again == new
    assert {note.partition(": ")[2] for note in more} <= {note.partition(": ")[2] for note in notes}
    assert all(any(word in note for word in UNAVOIDABLE) for note in more)


def test_the_documented_examples(load: Load) -> None:
    new, notes, text = rewritten(DOCUMENTED)
    assert list(new) == ["output_dir", "images", "use_gpu", "DATASETS"]
    config = load(text)[0]
    flat, levels, depth = (dataset.clustering for dataset in config.DATASETS.values())
    assert (flat.hierarchy.depth, flat.resolutions, flat.recompute_umap) == (1, [0.2, 0.3, 0.4], True)
    assert levels.hierarchy.depth == 3
    resolutions = [levels.hierarchy.parameters(path) for path in ((), (7,), (7, 1))]
    assert [own and own.resolution for own in resolutions] == [0.1, None, 0.2]
    assert (depth.hierarchy.depth, depth.use_gpu) == (3, True)
    assert set(config.DATASETS["test_hierarchical"].input.clustering) == {file_id("test/input/pbmc68k.h5ad")}
    assert len([note for note in notes if "levels" in note and "clusters" in note]) == 1


def ancestor(hierarchy: Any) -> list[Mapping[str, Any]]:
    """Return the arguments of each level, as scAtlasTb's code finds them."""
    if isinstance(hierarchy, dict):
        depth = max(hierarchy)
    elif isinstance(hierarchy, list):
        depth = len(hierarchy)
    else:
        depth = 1 if hierarchy is None or hierarchy is True else int(hierarchy)
    found = [hierarchy.get(level, {}) if isinstance(hierarchy, dict) else {} for level in range(1, depth + 1)]
    return [level if isinstance(level, dict) else {"resolution": level} for level in found]


RESOLUTIONS = st.floats(0.01, 9)
LEVELS = st.dictionaries(
    st.integers(1, 6), RESOLUTIONS | st.fixed_dictionaries({"resolution": RESOLUTIONS}), min_size=1
)
HIERARCHIES = st.one_of(
    st.none(), st.just(True), st.integers(1, 5), st.integers(1, 5).map(str), LEVELS, st.lists(RESOLUTIONS, min_size=1)
)


@settings(deadline=None)
@given(HIERARCHIES, HIERARCHIES, st.booleans())
def test_every_level_keeps_its_resolution(default: Any, own: Any, says: bool) -> None:
    clustering = {"algorithm": "leiden", "resolutions": [1], **({"hierarchy": own} if says else {})}
    old = {
        "output_dir": "out",
        "defaults": {"clustering": {"hierarchy": default}},
        "DATASETS": {"lung": {"input": {"clustering": "a/b.h5ad"}, "clustering": clustering}},
    }
    meant = own if says else default
    if isinstance(meant, dict) and isinstance(default, dict):
        meant = {**default, **meant}
    new, notes = migrated(old)
    hierarchy = RunConfig(**read_config(written(new, notes), "").data).DATASETS["lung"].clustering.hierarchy
    levels = ancestor(meant)
    assert hierarchy.depth == len(levels)
    assert not hierarchy.looks_like_levels
    for level, arguments in enumerate(levels):
        parameters = hierarchy.parameters((0,) * level)
        assert parameters is not None
        assert parameters.resolution == arguments.get("resolution")


@pytest.mark.parametrize(
    ("old", "words"),
    [
        (one("algorithm: leidan, resolutions: 1"), ["algorithm (line 6)", "did you mean `leiden`?"]),
        (one("algorithm: leiden, resolution: [1]"), ["resolution (line 6)", "did you mean `resolutions`?"]),
        (one(f"{LEIDEN}, hierarchy: {{2: {{resolutoin: 1}}}}"), ["2.resolutoin", "did you mean `resolution`?"]),
        (one(f"{LEIDEN}, hierarchy: 2.5"), ["hierarchy (line 6)", "not `2.5`"]),
        (one(f"{LEIDEN}, hierarchy: deep"), ["hierarchy (line 6)", "`'deep'`"]),
        (one(f"{LEIDEN}, hierarchy: {{}}"), ["empty mapping"]),
        (one(f'{LEIDEN}, hierarchy: {{2: 1, "2": 1}}'), ["given twice"]),
        (one(f"{LEIDEN}, recompute_umap: maybe"), ["true or false"]),
        (one(f"{LEIDEN}, neighbors: true"), ["neighbors"]),
        (one(LEIDEN, top=""), ["output_dir: is missing"]),
        (one(LEIDEN).replace("DATASETS", "DATASET"), ["did you mean `DATASETS`?"]),
        (one(LEIDEN).replace("input", "inputs"), ["DATASETS.lung.inputs (line 5)", "did you mean `input`?"]),
        (one(LEIDEN).replace("{clustering: data", "{clusterin: data"), ["input.clusterin", "`clustering`"]),
        (one(LEIDEN).replace("input: {clustering", "input: {pca"), ["DATASETS (line 3)", "no dataset has"]),
        (one(LEIDEN, top=TOP + "defaults: {datasets: [heart]}\n"), ["no such dataset"]),
        (TOP + "DATASETS: [lung]\n", ["mapping"]),
        (TOP + "DATASETS: {lung: {input: x.h5ad}}\n", ["DATASETS.lung.input"]),
        (TOP + "DATASETS:\n", ["names no dataset"]),
        (one(LEIDEN, top=f"{TOP}storage_options: {{s3: {{a: {'[' * 400}{']' * 400}}}}}\n"), ["nested too deeply"]),
        (one(f"{LEIDEN}, seed: 1, seed: 2"), ["given twice, on lines 6 and 6"]),
        ("- a\n", ["must be a mapping"]),
        ("a: b: c\n", ["line 1"]),
        ("", ["empty"]),
    ],
)
def test_wrong_files(old: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(old)
    assert main(["migrate", str(tmp_path / "old.yaml")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for word in words:
        assert word in printed.err
    assert len(printed.err.splitlines()) <= 10
    assert "Traceback" not in printed.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(DOCUMENTED.replace("batch, n_genes", "Zellgröße"), encoding="utf-8")
    assert main(["migrate", str(old)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Zellgröße" in printed.out
    assert printed.out.startswith("# env_mode: ")
    new = tmp_path / "new.yaml"
    new.write_text(printed.out, encoding="utf-8")
    assert load_config(str(new), env={})[1] == []


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(DOCUMENTED)
    (tmp_path / "x.h5ad").write_bytes(b"\x89HDF\xff")
    for name, words in (("odl.yaml", "did you mean `old.yaml`?"), (".", "is a folder"), ("x.h5ad", "no UTF-8 text")):
        assert main(["migrate", str(tmp_path / name)]) == 2
        printed = capsys.readouterr()
        assert words in printed.err
        assert printed.out == ""


def test_the_old_data_are_left_alone() -> None:
    old = read_config(DOCUMENTED, "").data
    migrated(old)
    assert old == read_config(DOCUMENTED, "").data


def test_no_input_at_all() -> None:
    with pytest.raises(ConfigError, match="none can be migrated"):
        migrated({"output_dir": "out", "DATASETS": {"lung": {"input": {"pca": "x"}}}})


def test_single_runs_are_asked_for_once_where_the_defaults_tell_of_clustering() -> None:
    defaults = f"defaults: {{clustering: {{{LEIDEN}}}}}\n"
    new, notes, _ = rewritten(f"{TOP}{defaults}DATASETS: {{a: {{input: {{clustering: x.h5ad}}}}}}\n")
    assert new["defaults"]["clustering"]["ensemble"] == 1
    assert "clustering" not in new["DATASETS"]["a"]
    assert [note.partition(": ")[0] for note in notes if SINGLE in note] == ["defaults.clustering.ensemble"]
    louvain, notes, _ = rewritten(one("algorithm: louvain, resolutions: 0.5"))
    assert "ensemble" not in louvain["DATASETS"]["lung"]["clustering"]
    assert not any(SINGLE in note for note in notes)
