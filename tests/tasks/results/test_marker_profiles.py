"""What a dot plot shows is what NumPy finds in the values, family by family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.markers import families as families_module
from cellstrata.tasks.markers.contrasts import ClusterColumn, contrasts
from cellstrata.tasks.markers.families import BEST, Family, families
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.results.marker_profiles import Profile, profile_values, profiles
from cellstrata.tasks.results.marker_tests import compare, read_parts
from tests.tasks.everything import save
from tests.tasks.small_expression import atlas, counts, expression_in, logs

COUNTS, CODES = counts(400, 50, 6)
CODES = np.where(np.arange(400) % 40 == 0, -1, CODES).astype(np.int32)  # some cells have no cluster
FINE = ClusterColumn("fine", CODES, ("0_0", "0_1", "0_2", "1_0", "1_1", "10_0"), ("0", "0", "0", "1", "1", "10"))
COARSE = ClusterColumn("coarse", np.array([0, 0, 0, 1, 1, 2, -1], np.int32)[CODES], ("0", "1", "10"), ("", "", ""))
COLUMNS = [COARSE, FINE]


def found(folder: Path) -> tuple[list[Family], dict[tuple[str, str, str], RankedGenes], tuple[Profile, ...]]:
    asked, _ = contrasts(COLUMNS, ("sisters", "all"), 2)
    with expression_in(save(atlas(sp.csr_matrix(logs(COUNTS))), folder, "h5ad")) as expression:
        of = Logs(expression, normalize=False)
        parts = read_parts(of, COLUMNS)
        tests = compare(of, parts, asked, method="t-test", n_genes=20, say=lambda text: None)
    made = families(COLUMNS, asked, tests)
    names = [(COLUMNS[one.column].name, COLUMNS[one.column].labels[one.cluster], one.against) for one in asked]
    return made, dict(zip(names, tests, strict=True)), profiles(COLUMNS, made, profile_values(parts, made))


def test_means_and_shares_of_every_sister_at_the_genes_of_all(tmp_path: Path) -> None:
    _, ranked, made = found(tmp_path)
    assert [(one.column, one.family.parent, one.labels) for one in made] == [
        ("coarse", "", ("0", "1", "10")), ("fine", "0", ("0_0", "0_1", "0_2")), ("fine", "1", ("1_0", "1_1")),
    ]  # fmt: skip
    values = logs(COUNTS).astype(np.float64)
    for one in made:
        column = COLUMNS[one.family.column]
        genes = one.family.genes
        assert len(set(genes.tolist())) == len(genes)
        for at, label in enumerate(one.labels):
            cells = column.codes == column.labels.index(label)
            np.testing.assert_allclose(one.means[:, at], values[cells][:, genes].mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(one.shares[:, at], (values[cells][:, genes] > 0).mean(axis=0), rtol=1e-6)
            for kind, best in one.family.best.items():
                test = ranked[one.column, label, kind]
                more = test.genes[test.log_fold_changes > 0][:BEST]
                assert genes[list(best[at])].tolist() == more.tolist()
        np.testing.assert_allclose(one.means[:, -1], values[:, genes].mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(one.shares[:, -1], (values[:, genes] > 0).mean(axis=0), rtol=1e-6)
    assert {place for best in made[0].family.best.values() for each in best for place in each} == set(
        range(len(made[0].family.genes))
    )


def test_of_many_sisters_the_largest_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families_module, "MOST", 2)
    made = found(tmp_path)[0]
    assert [(len(one.clusters), one.left_out) for one in made] == [(2, 1), (2, 1), (2, 0)]
    assert made[1].clusters == tuple(sorted(np.argsort(-FINE.sizes[:3], kind="stable")[:2].tolist()))


def test_values_of_other_families_are_refused(tmp_path: Path) -> None:
    made = found(tmp_path)[0]
    with pytest.raises(ValueError, match="not those of the families"):
        profiles(COLUMNS, made, np.zeros((2, 7), np.float32))
    assert profiles(COLUMNS, [], np.zeros((2, 0), np.float32)) == ()
