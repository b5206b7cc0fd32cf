"""A table of configurations that are wrong: each message names the place and says what to write."""

from __future__ import annotations

from collections.abc import Callable

import pytest

TEMPLATE = """\
output_dir: out
{top}
DATASETS:
  lung:
    input: {{clustering: {input}}}
    clustering:
      {clustering}
"""
C = "DATASETS.lung.clustering."
RIGHT = "algorithm: leiden\n      resolutions: [0.5]"


def text(top: str = "", clustering: str = "", inputs: str = "lung.h5ad", base: str = RIGHT) -> str:
    return TEMPLATE.format(top=top, input=inputs, clustering=f"{base}\n      {clustering}")


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ("outputdir: x", ["outputdir (line 2)", "did you mean `output_dir`?"]),
        ("runner: process", ["runner (line 2)", "did you mean `processes`?"]),
        ("runner: [threads]", ["runner", "not a list"]),
        ("workers: 0", ["workers (line 2)", "at least 1"]),
        ("workers: true", ["workers", "whole number", "`true`"]),
        ('workers: "2"', ["workers", "write 2 without quotes"]),
        ("grain: 2.0", ["grain", "write 2"]),
        ('refresh: "false"', ["refresh", "write false without quotes"]),
        ("refresh: yes", ["refresh", "write true without quotes"]),
        ("rehash: 1", ["rehash", "true or false"]),
        ("link: symlnk", ["link", "did you mean `symlink`?"]),
        ("use_gpu: require", ["use_gpu", "did you mean `required`?"]),
        ("use_gpu: 'true'", ["use_gpu", "write true without quotes"]),
        ("cache: 3", ["cache", 'write "3" in quotes']),
        ("dask: tcp", ["dask", "mapping"]),
        ("dask: {adress: tcp://a:1}", ["dask.adress", "did you mean `address`?"]),
        ("dask: {address: 'a:8786'}", ["dask.address (line 2)", "tcp://", "tls://"]),
        ("dask: {address: tcp://a:1, n_workers: 2}", ["dask.n_workers", "leave out `address`"]),
        ("dask: {address: tcp://a:1, tls_ca_file: ca.pem}", ["dask.tls_ca_file", "begins with `tls://`"]),
        ("dask: {tls_ca_file: ca.pem}", ["dask.tls_ca_file", "needs an `address`"]),
        ("dask: {address: tls://a:1, tls_client_cert: c.pem}", ["dask", "go together"]),
        ("dask: {n_workers: 0}", ["dask.n_workers", "at least 1"]),
        ("storage_options: {s3: abc}", ["storage_options.s3", "profile"]),
        ("storage_options: [a]", ["storage_options", "mapping"]),
        ("defaults: {cluster: {}}", ["defaults.cluster", "did you mean `clustering`?"]),
        ("defaults: {clustering: {sed: 1}}", ["defaults.clustering.sed (line 2)", "did you mean `seed`?"]),
        ("defaults: {clustering: {seed: a}}", ["defaults.clustering.seed (line 2)", "whole number"]),
        ("defaults: {clustering: 3}", ["defaults.clustering", "mapping"]),
        ("defaults: {datasets: [lnug]}", ["defaults.datasets[0] (line 2)", "did you mean `lung`?"]),
        ("snakemake: 1", ["snakemake (line 2)", "unknown key"]),
        ("3: 1", ["3", "unknown key"]),
        ("_env_file: x", ["_env_file", "unknown key"]),
    ],
)
def test_run_keys(refused: Callable[..., str], top: str, words: list[str]) -> None:
    message = refused(text(top))
    for word in [*words, "1 problem"]:
        assert word in message
    assert "pydantic" not in message


@pytest.mark.parametrize(
    ("clustering", "words"),
    [
        ("resolutoins: [1]", [C + "resolutoins (line 9)", "did you mean `resolutions`?"]),
        ("seed: -1", [C + "seed (line 9)", "at least 0"]),
        ("seed: true", [C + "seed", "whole number"]),
        ("neighbors: {k: 3}", [C + "neighbors.k", "n_neighbors"]),
        ("embedding: hvgpca", [C + "embedding (line 9)", "did you mean `hvg_pca`?"]),
        ("embedding: true", [C + "embedding", "`reuse`, `pca` or `hvg_pca`"]),
        ("embedding: {method: pca, n_comp: 3}", [C + "embedding.n_comp", "did you mean `n_comps`?"]),
        ("embedding: {method: pca, batch_key: donor}", [C + "embedding", "which `hvg_pca` does alone"]),
        ("embedding: {method: pca, harmony: true}", [C + "embedding", "write `batch_key: donor` beside it"]),
        ("embedding: {method: pca, batch_key: d, harmony: 2}", [C + "embedding.harmony", "{theta: 2, max_iter"]),
        ("embedding: {method: pca, batch_key: d, harmony: {theta: 0}}", [C + "embedding.harmony.theta", "than 0"]),
        ("embedding: {method: reuse, n_comps: 3}", [C + "embedding", "has no n_comps"]),
        ("embedding: {method: hvg_pca, flavor: seurat_v3}", [C + "embedding", "normalize: true"]),
        ("embedding: {method: pca, layer: a, raw: true}", [C + "embedding", "leave one of the two out"]),
        ("hierarchy: {levels: {1: {embedding: pca}, 2: 1}}", [C + "hierarchy", "level 1 is split on an embedding"]),
        ("hierarchy: {levels: {2: {embedding: pca, use_rep: X_a}}}", [C + "hierarchy.levels.2", "one of the two out"]),
        ("markers: {method: wilcoxn}", [C + "markers.method (line 9)", "did you mean `wilcoxon`?"]),
        ("markers: {agianst: all}", [C + "markers.agianst", "did you mean `against`?"]),
        ("markers: {against: [rest]}", [C + "markers.against", "`sisters` or `all`"]),
        ("markers: {against: []}", [C + "markers.against", "is an empty list"]),
        ("markers: {n_genes: 0}", [C + "markers.n_genes", "at least 1"]),
        ("markers: {layer: counts, raw: true}", [C + "markers", "`layer` and `raw`", "leave one of the two out"]),
        ("markers: wilcoxon", [C + "markers", "write {method: wilcoxon}"]),
        ("markers: 3", [C + "markers", "true, false or a mapping"]),
        ("neighbors: {n_neighbors: 1}", [C + "neighbors.n_neighbors", "at least 2"]),
        ("neighbors: {metric: cosin}", [C + "neighbors.metric", "did you mean `cosine`?"]),
        ("neighbors: true", [C + "neighbors", "not `true`"]),
        ("neighbors: false\n      recompute_neighbors: true", [C + "neighbors (line 9)", "contradicts"]),
        ("engine: leidnalg", [C + "engine", "did you mean `leidenalg`?"]),
        ("engine: rapids", [C + "engine", "use_gpu: true"]),
        ("gpu_check: 5", [C + "gpu_check", "from 0 to 1"]),
        ("n_iterations: 0", [C + "n_iterations", "-1"]),
        ("use_gpu: maybe", [C + "use_gpu", "`required`"]),
        ("clustering_args: {flavour: igraph}", [C + "clustering_args.flavour", "did you mean `flavor`?"]),
        ("clustering_args: {flavor: igrph}", [C + "clustering_args.flavor", "did you mean `igraph`?"]),
        (
            "clustering_args: {directed: true}",
            [C + "clustering_args.directed", "allowed here", "use_weights"],
        ),
        ("clustering_args: {seed: x}", [C + "clustering_args.seed", "whole number"]),
        ("clustering_args: {seed: 1, random_state: 2}", [C + "clustering_args.random_state", "contradicts"]),
        ("clustering_args: {use_weights: 1}", [C + "clustering_args.use_weights", "true or false"]),
        ("hierarchy: true", [C + "hierarchy (line 9)", "hierarchy: 2"]),
        ('hierarchy: {"3__0": 0.1}', [C + "hierarchy.3__0 (line 9)", 'did you mean "3_0"?']),
        (
            "hierarchy: {levels: {2: {min_cell: 3}}}",
            [C + "hierarchy.levels.2.min_cell", "did you mean `min_cells`?"],
        ),
        ('hierarchy: {2: 1, "2": 1}', [C + "hierarchy.2", "given twice"]),
        ("umap_colors: {a: 1}", [C + "umap_colors", "list"]),
        ("umap_colors: [1]", [C + "umap_colors[0]", 'write "1" in quotes']),
        ("plots: {colours: [a]}", [C + "plots.colours", "did you mean `colors`?"]),
        ("overwrite: 'no'", [C + "overwrite", "write false without quotes"]),
        ("max_cluster_factor: -1", [C + "max_cluster_factor", "at least 0"]),
        ("hierarchy: until_stabel", [C + "hierarchy (line 9)", "did you mean `until_stable`?"]),
        ("hierarchy: until_stable\n      stop: false", [C + "stop (line 10)", "contradicts `hierarchy: until_stable`"]),
        ("hierarchy: until_stable\n      overwrite: false", [C + "overwrite (line 10)", "until_stable"]),
        ("evidence: yess", [C + "evidence (line 9)", "{halves: 4, null: 4}"]),
        ("evidence: {halfs: 4}", [C + "evidence.halfs (line 9)", "did you mean `halves`?"]),
        ("evidence: {halves: 1}", [C + "evidence.halves (line 9)", "from 2 to 100"]),
        ("evidence: {null: true}", [C + "evidence.null", "from 2 to 100"]),
        ("stop: atuo", [C + "stop (line 9)", "did you mean `auto`?"]),
        ("stop: true", [C + "stop (line 9)", "`auto`, false or a mapping"]),
        ("stop: {replicability: 2}", [C + "stop.replicability (line 9)", "from 0 to 1"]),
        ("stop: {replicabilty: 0.3}", [C + "stop.replicabilty", "did you mean `replicability`?"]),
        ("stop: {min_children_cells: -1}", [C + "stop.min_children_cells", "at least 0"]),
        ("stop: {min_markers: 101}", [C + "stop.min_markers", "from 0 to 100"]),
        ("stop: {min_markers: 2.5}", [C + "stop.min_markers", "whole number from 0 to 100"]),
        ("stop: {min_markers: 5, log_fold_change: -1}", [C + "stop.log_fold_change", "from 0 to 30", "twice as much"]),
        ("stop: {log_fold_change: 1}", [C + "stop (line 9)", "write `min_markers: 5`"]),
        ("stop: {min_donors: 3}", [C + "stop (line 9)", "`batch_keys: [donor]`"]),
        ("hierarchy: {levels: {2: {stop: {p: 3}}}}", [C + "hierarchy.levels.2.stop.p (line 9)", "from 0 to 1"]),
        ('hierarchy: {"3": {stop: {min_donors: 2}}}', [C + "stop", "batch_keys"]),
        ("hierarchy: {levels: {2: {stop: {min_donors: 2}}}}", [C + "stop", "batch_keys"]),
        ("hierarchy: until_stable\n      stop: {agreement: 0.6}", [C + "stop (line 10)", "would not end"]),
        ("hierarchy: until_stable\n      stop: {p: 1, replicability: 0}", [C + "stop (line 10)", "would not end"]),
        ("batch_keys: {a: 1}", [C + "batch_keys", "list"]),
    ],
)
def test_clustering_keys(refused: Callable[..., str], clustering: str, words: list[str]) -> None:
    message = refused(text(clustering=clustering))
    for word in [*words, "1 problem"]:
        assert word in message


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("algorithm: leiden", [C + "resolutions", "is missing"]),
        ("resolutions: 1", [C + "algorithm", "is missing"]),
        ("algorithm: [leidn]\n      resolutions: 1", ["algorithm[0]", "did you mean `leiden`?"]),
        ("algorithm: Leiden\n      resolutions: 1", ["did you mean `leiden`?"]),
        ("algorithm: []\n      resolutions: 1", ["algorithm", "empty list"]),
        ("algorithm: leiden\n      resolutions: []", ["resolutions", "empty list"]),
        ("algorithm: leiden\n      resolutions: [0.5, 0]", ["resolutions[1] (line 8)", "greater than 0"]),
        ("algorithm: leiden\n      resolutions: .inf", ["resolutions", "greater than 0"]),
        ("algorithm: leiden\n      resolutions: [true]", ["resolutions[0]", "`true`"]),
        ("algorithm: leiden\n      resolutions: aut", ["resolutions", "did you mean `auto`?"]),
        ("algorithm: leiden\n      resolutions: [auto]", ["resolutions[0]", "must be a number"]),
        (
            'algorithm: leiden\n      resolutions: auto\n      hierarchy: {"leiden_0.5:1": 0.3}',
            ["hierarchy", "names clusters of leiden_0.5", "is yet to find", "list them"],
        ),
        (
            "algorithm: leiden\n      resolutions: auto\n      hierarchy: {levels: {1: 0.3, 2: 0.4}}",
            ["hierarchy", "sets level 1's resolution"],
        ),
        (
            "algorithm: leiden\n      resolutions: auto\n      overwrite: false",
            ["overwrite", "yet to find", "list the resolutions"],
        ),
        ('algorithm: leiden\n      resolutions: "0.5"', ["resolutions", "write 0.5 without quotes"]),
        (
            "algorithm: [leiden, louvain]\n      engine: leidenalg\n      resolutions: 1",
            ["engine", "no louvain"],
        ),
    ],
)
def test_required_keys(refused: Callable[..., str], base: str, words: list[str]) -> None:
    message = refused(text(base=base))
    for word in [*words, "1 problem"]:
        assert word in message


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("[a, a]", ["input.clustering[1]", "same path"]),
        ("[]", ["input.clustering", "names no file"]),
        ("", ["input.clustering", "where the data are"]),
        ("3", ["input.clustering", "not `3`"]),
        ("{a/b: x}", ["input.clustering.a/b", "another file id"]),
        ("{'..': x}", ["another file id"]),
        ("{a: 3}", ["input.clustering.a", "path or URL"]),
        ("{1: x, '1': y}", ["input.clustering.1", "given twice"]),
        ("{a: x, a: y}", ["input.clustering.a", "given twice, on lines 5 and 5"]),
    ],
)
def test_inputs(refused: Callable[..., str], inputs: str, words: list[str]) -> None:
    message = refused(text(inputs=inputs))
    for word in [*words, "1 problem"]:
        assert word in message


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        ("output_dir: out", ["DATASETS", "names no dataset"]),
        ("output_dir: out\nDATASETS:", ["DATASETS", "names no dataset"]),
        ("output_dir: out\nDATASET: {a: 1}", ["DATASET (line 2)", "did you mean `DATASETS`?"]),
        ("output_dir: out\nDATASETS: [a]", ["DATASETS (line 2)", "mapping"]),
        ("output_dir: out\nDATASETS: {a: {input: {pca: x}}}", ["no dataset has `input.clustering`"]),
        ("output_dir: out\nDATASETS: {a: {inputs: {clustering: x}}}", ["DATASETS.a.inputs", "`input`"]),
        ("output_dir: out\nDATASETS: {a: {input: {clusterin: x}}}", ["a.input.clusterin", "`clustering`"]),
        ("output_dir: out\nDATASETS: {a: {input: x.h5ad}}", ["DATASETS.a.input", "mapping"]),
        ("- a", ["must be a mapping", "DATASETS"]),
        ("", ["empty"]),
        (
            "output_dir: ''\nDATASETS: {a: {input: {clustering: x}, clustering: 3}}",
            ["a.clustering", "mapping"],
        ),
        ("a: b: c", ["line 1"]),
        ("DATASETS: {a/b: {input: {clustering: x}}}", ["output_dir: is missing", "a/b", "another name"]),
    ],
)
def test_whole_files(refused: Callable[..., str], whole: str, words: list[str]) -> None:
    message = refused(whole)
    for word in words:
        assert word in message


def test_many_problems_fit_on_ten_lines(refused: Callable[..., str]) -> None:
    message = refused(text("".join(f"zz{n}: 1\n" for n in range(22))))
    assert len(message.splitlines()) == 10
    assert message.splitlines()[0].endswith("22 problems")
    assert message.endswith("… and 14 more")


def test_one_mistake_in_defaults_is_told_once(refused: Callable[..., str]) -> None:
    top = "output_dir: o\ndefaults: {clustering: {algorithm: leiden, resolutions: [0]}}\n"
    message = refused(top + "DATASETS: {a: {input: {clustering: x}}, b: {input: {clustering: x}}}")
    assert "defaults.clustering.resolutions[0] (line 2)" in message
    assert "1 problem" in message
