"""A curation of an earlier result is told what became of the ids that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellstrata.configs.errors import ConfigError
from cellstrata.tasks.curation.curate import Curated, curate
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.matching.adata import match_adata
from cellstrata.tasks.matching.earlier import Earlier
from cellstrata.tasks.matching.ids import Level
from cellstrata.tasks.stores.places import Place
from tests.flows.planted import write
from tests.tasks.finished_results import make_result

L1, L2 = "leiden_0.1_1", "leiden_0.1_2"


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clusters, of which the first two have their ids, and the third was made of two; 0_0 was 0_0 and 0_1."""
    folder = tmp_path_factory.mktemp("matched")
    adata = open_linked(make_result(folder, write(folder), {"resolutions": [0.1], "hierarchy": 2}).url).to_memory()
    first, second = (adata.obs[name].astype(str).to_numpy(object) for name in (L1, L2))
    within = np.flatnonzero(first == "2")
    first[within[: len(within) // 3]] = "3"
    second[first == "3"] = "3_0"
    second[np.isin(second, ["0_1"])] = "0_0"
    levels = {}
    for name, values, above in ((L1, first, ""), (L2, second, L1)):
        column = pd.Series(values).astype("category")
        labels = tuple(column.cat.categories)
        parents = tuple(label.rpartition("_")[0] for label in labels)
        levels[name] = Level(name, column.cat.codes.to_numpy().astype(np.int32), labels, parents, above)
    names = adata.obs_names.to_numpy(object)
    match_adata(adata, Earlier("earlier.zarr", "", "", names, levels, {})).write(adata)
    adata.write_h5ad(folder / "matched.h5ad")
    return folder / "matched.h5ad"


def curated(result: Path, folder: Path, first: str, second: str) -> Curated:
    (folder / "curation.yaml").write_text(
        f"curator: Jane Doe\ncolumns:\n  {L1}: {{clusters: {first}}}\n  {L2}: {{clusters: {second}, unnamed: keep}}\n"
    )
    return curate(Place(str(result)), Place(str(folder / "curation.yaml")))


def test_ids_that_were_retired_are_named_with_what_became_of_them(matched: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        curated(matched, tmp_path, "{0: a, 1: b, 3: d}", '{"0_7": x, "3_0": y}')
    text = str(error.value)
    assert f"{L1} has no cluster '3': it is retired: it was merged into 2; there is 0, 1, 2" in text
    assert f"{L2} has no cluster '3_0': its parent 3 is retired" in text
    assert f"{L2} has no cluster '0_7'; there is 0_0" in text, "an id that never was"


def test_ids_whose_clusters_have_other_cells_are_named_in_a_notice(matched: Path, tmp_path: Path) -> None:
    found = curated(matched, tmp_path, "{0: a, 1: b, 2: c}", '{"0_0": x, "1_0": y}')
    merged, split = found.notices
    assert merged.startswith(f"{L1}: 2 is not what it was, overlap 0.6")
    assert "2, 3 were merged into it; does its name still fit?" in merged
    assert split.startswith(f"{L2}: 0_0 is not what it was, overlap 0.")
    assert "0_0 was split into 0_0, 0_1" in split


def test_a_cluster_without_a_name_is_told_with_what_it_was(matched: Path, tmp_path: Path) -> None:
    text = f"curator: J\ncolumns:\n  {L2}: {{clusters: {{'0_0': x}}}}\n"
    (tmp_path / "curation.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"have no name: 0_1 \(new, most like 0_0\), 0_2, 1_0"):
        curate(Place(str(matched)), Place(str(tmp_path / "curation.yaml")))
