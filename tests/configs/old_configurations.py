"""Configurations of scAtlasTb, and what they ask for here."""

from __future__ import annotations

from typing import Any

TOP = "output_dir: test/out\nimages: test/images\n"
LEIDEN = "algorithm: leiden, resolutions: [0.5]"


def one(clustering: str, inputs: str = "data/lung.h5ad", top: str = TOP, rest: str = "") -> str:
    """Write an old file with the one dataset `lung`."""
    return f"{top}DATASETS:\n  lung:\n    input: {{clustering: {inputs}}}\n    clustering: {{{clustering}}}\n{rest}"


def over(defaults: str, clustering: str) -> str:
    """Write an old file whose dataset lies over defaults."""
    return one(clustering, top=f"{TOP}defaults: {{clustering: {{{LEIDEN}, {defaults}}}}}\n")


DOCUMENTED = """\
output_dir: test/out
images: test/images
use_gpu: true
env_mode: local
resources:
  cpu: {partition: cpu, qos: normal, gpu: 0, mem_mb: 1000}
  gpu: {partition: gpu, qos: normal, gpu: 1, mem_mb: 4000}
DATASETS:
  test_level1_multiresolution:
    input: {clustering: test/input/pbmc68k.h5ad}
    clustering: {recompute_umap: true, recompute_neighbors: true, algorithm: [leiden],
      neighbors: {n_neighbors: 30, use_rep: X_pca}, resolutions: [0.2, 0.3, 0.4],
      umap_colors: [bulk_labels, batch]}
  test_hierarchical:
    input: {clustering: test/input/pbmc68k.h5ad}
    clustering: {neighbors_key: neighbors, algorithm: leiden, resolutions: [0.5],
      hierarchy: {1: 0.1, 3: 0.2}, umap_colors: [bulk_labels, batch, n_genes]}
  test_hierarchical_int:
    input: {clustering: test/input/pbmc68k.h5ad}
    clustering: {neighbors_key: neighbors, algorithm: leiden, use_gpu: true,
      resolutions: [0.5], hierarchy: 3, umap_colors: [bulk_labels, batch]}
"""
MODULES = """\
output_dir: test/out
defaults:
  datasets: [lung, qc_only, lugn]
  metrics: {label: cell_type}
  clustering: {resolutions: [0.2, 1]}
output_map: {pca: a/b.zarr}
os: intel
DATASETS:
  lung:
    input: {load_data: x.tsv, clustering: {core: data/lung.h5ad}, metrics: clustering}
    clustering: {algorithm: leiden}
    metrics: {label: cell_type}
  qc_only: {input: {qc: data/lung.h5ad}, qc: {}}
  nothing:
"""

# name: the file, the clustering of its first dataset that differs from the base, words of its notes
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "documented": (DOCUMENTED, {"recompute_umap": True}, ["env_mode: ", "`runner`", "resources: ", "`workers`"]),
    "modules": (
        MODULES,
        {"resolutions": [0.2, 1.0]},
        [
            "defaults.metrics, DATASETS.lung.input.load_data, DATASETS.lung.input.metrics, DATASETS.lung.metrics: of",
            "DATASETS.qc_only, DATASETS.nothing: dropped; without",
            "output_map, os: dropped",
            "`lugn` is dropped, as no dataset is called so; did you mean `lung`?",
        ],
    ),
    "plain": (one(LEIDEN), {}, []),
    "scalar": (one("algorithm: [leiden], resolutions: 1"), {"resolutions": [1.0]}, []),
    "number texts": (
        one('algorithm: leiden, resolutions: ["0.5", 1e-3], n_cell_cpu: 100_000, neighbors: {n_neighbors: "20"}'),
        {"resolutions": [0.5, 0.001], "n_cell_cpu": 100_000, "neighbors": {"n_neighbors": 20}},
        ["the number 0.5", "the number 100000", "the number 20"],
    ),
    "true": (one(f"{LEIDEN}, hierarchy: true"), {}, ["`true` meant one level"]),
    "null": (one(f"{LEIDEN}, hierarchy:, recompute_umap:, neighbors_key:"), {}, []),
    "zero": (one(f"{LEIDEN}, hierarchy: 0"), {}, ["`0` gave a column of level `nan`"]),
    "zero text": (one(f'{LEIDEN}, hierarchy: "0"'), {}, ["level `nan`"]),
    "depth text": (one(f'{LEIDEN}, hierarchy: "3"'), {"hierarchy": 3}, ["what is not given here"]),
    "list": (
        one(f"{LEIDEN}, hierarchy: [0.2, 0.4]"),
        {"hierarchy": 2},
        ["ignored its values", "`hierarchy: {levels: {1: 0.2, 2: 0.4}}`"],
    ),
    "empty list": (one(f"{LEIDEN}, hierarchy: []"), {}, ["level `nan`"]),
    "levels": (
        one(f"{LEIDEN}, hierarchy: {{1: 0.1, 3: 0.2}}"),
        {"hierarchy": {"levels": {1: 0.1, 3: 0.2}}},
        ["read these keys as levels", "write `hierarchy: {clusters: {1: 0.1, 3: 0.2}}`"],
    ),
    "levels as in JSON": (
        one(f'{LEIDEN}, hierarchy: {{"2": 0.1, "3": "0.2"}}'),
        {"hierarchy": {"levels": {2: 0.1, 3: 0.2}}},
        ["read these keys as levels", "{clusters: {2: 0.1, 3: 0.2}}"],
    ),
    "arguments of levels": (
        one(f"{LEIDEN}, hierarchy: {{2: {{resolution: 0.3, n_iterations: 5, random_state: 1, directed: false}}}}"),
        {"hierarchy": {"levels": {2: {"resolution": 0.3, "n_iterations": 5, "seed": 1}}}},
        ["`directed` is dropped"],
    ),
    "flavor of every level": (
        one(f"{LEIDEN}, hierarchy: {{1: {{flavor: leidenalg, use_weights: true}}, 2: {{flavor: leidenalg}}}}"),
        {"hierarchy": {"levels": {1: {}, 2: {}}}, "engine": "leidenalg"},
        ["`flavor` is the same at every level", "`use_weights` is dropped: its value is the default"],
    ),
    "flavor of one level": (
        one(f"{LEIDEN}, hierarchy: {{2: {{flavor: leidenalg, use_weights: false}}}}"),
        {"hierarchy": {"levels": {2: {}}}},
        ["`flavor` is dropped: it cannot differ", "`use_weights` is dropped: it cannot differ"],
    ),
    "flavor of defaults, another hierarchy": (
        over("hierarchy: {1: {flavor: leidenalg}}", "hierarchy: 2"),
        {"hierarchy": 2},
        ["`flavor` is dropped: it cannot differ"],
    ),
    "flavor of defaults": (
        over("hierarchy: {1: {flavor: leidenalg}}", "overwrite: false"),
        {"hierarchy": {"levels": {1: {}}}, "engine": "leidenalg", "overwrite": False},
        ["`flavor` is the same at every level"],
    ),
    "clusters": (one(f"{LEIDEN}, hierarchy: {{3_0: 0.4, 1: 0.1}}"), {"hierarchy": {"3_0": 0.4, 1: 0.1}}, []),
    "cluster 0": (one(f"{LEIDEN}, hierarchy: {{0: 0.4}}"), {"hierarchy": {0: 0.4}}, []),
    "already migrated": (
        one(f"{LEIDEN}, hierarchy: {{levels: {{2: 0.1}}, clusters: {{4: false}}}}"),
        {"hierarchy": {"levels": {2: 0.1}, "clusters": {4: False}}},
        [],
    ),
    "merged levels": (
        over("hierarchy: {1: 0.1, 4: {resolution: 2}}", "hierarchy: {2: 0.3, 1: 0.7}"),
        {"hierarchy": {"levels": {1: 0.7, 2: 0.3, 4: {"resolution": 2}}}},
        ["DATASETS.lung.clustering.hierarchy: scAtlasTb mixed in the levels of `defaults`"],
    ),
    "levels over the same levels": (
        over("hierarchy: {2: 0.1}", "hierarchy: {2: 0.3}"),
        {"hierarchy": {"levels": {2: 0.3}}},
        ["defaults.clustering.hierarchy: scAtlasTb's code", "DATASETS.lung.clustering.hierarchy: scAtlasTb's code"],
    ),
    "inherited levels": (over("hierarchy: {2: 0.1}", ""), {"hierarchy": {"levels": {2: 0.1}}}, ["defaults.clust"]),
    "one level over a depth": (over("hierarchy: 3", "hierarchy: true"), {"hierarchy": 1}, ["one level"]),
    "nothing over a depth": (over("hierarchy: 3", "hierarchy: null"), {"hierarchy": None}, []),
    "nothing over defaults": (
        over("recompute_umap: true, n_cell_cpu: 5, umap_colors: [a]", "recompute_umap:, n_cell_cpu:, umap_colors:"),
        {},
        [],
    ),
    "merged neighbors": (
        over(
            "neighbors: {n_neighbors: 30}, plots: {colors: [a]}", "neighbors: {use_rep: X}, plots: {plot_centroids: b}"
        ),
        {
            "neighbors": {"n_neighbors": 30, "use_rep": "X"},
            "plots": {"colors": ["a"], "plot_centroids": ["b"]},
        },
        [],
    ),
    "truth as text": (
        one(f'{LEIDEN}, recompute_umap: "true", overwrite: "False", recompute_neighbors: no, use_gpu: 0'),
        {"recompute_umap": True, "overwrite": False},
        [
            "the text `'False'` is written as `false`, though",
            "`'no'`",
            "`'true'` is written as `true`",
            "`0` is written",
        ],
    ),
    "truth at the top": (one(LEIDEN, top=TOP + 'use_gpu: "false"\n'), {}, ["use_gpu: the text `'false'`"]),
    "graph arguments": (
        one(f"{LEIDEN}, neighbors: {{use_rep: X_pca, method: umap, random_state: 0, n_neighbours: 9}}"),
        {"neighbors": {"use_rep": "X_pca"}},
        ["neighbors.method, DATASETS.lung.clustering.neighbors.random_state: dropped", "did you mean `n_neighbors`?"],
    ),
    "the stored graph": (
        one(f"{LEIDEN}, neighbors: false, recompute_neighbors: true"),
        {"neighbors": False},
        ["recompute_neighbors: written as false"],
    ),
    "the stored graph of defaults": (
        over("neighbors: false, recompute_neighbors: true", ""),
        {"neighbors": False},
        ["recompute_neighbors: written as false"],
    ),
    "unknown keys": (
        one(f"{LEIDEN}, user_gpu: true, recompute_clusters: true"),
        {},
        ["user_gpu: dropped; there is no such key here; did you mean `use_gpu`?", "recompute_clusters: dropped"],
    ),
    "arguments": (
        one(f"{LEIDEN}, clustering_args: {{flavor: leidenalg, n_iterations: 5, beta: 1}}"),
        {"engine": "leidenalg", "n_iterations": 5},
        ["clustering_args.beta: dropped"],
    ),
    "louvain": (
        one("algorithm: [leiden, louvain], resolutions: 1"),
        {"algorithm": ["leiden", "louvain"], "resolutions": [1.0]},
        ["algorithm: on CPUs, scAtlasTb's louvain ignored the resolution"],
    ),
    "identical columns": (
        one("algorithm: leiden, resolutions: [0.2, 0.5], hierarchy: {1: 0.1}, neighbors: {use_rep: X_pca}"),
        {"resolutions": [0.2, 0.5], "hierarchy": {"levels": {1: 0.1}}, "neighbors": {"use_rep": "X_pca"}},
        ["its columns are the same for all `resolutions`"],
    ),
    "another stored graph": (
        one(f"{LEIDEN}, neighbors_key: scvi, recompute_neighbors: true"),
        {"neighbors_key": "scvi", "recompute_neighbors": True},
        ["clustered this stored one", "write `neighbors: {n_neighbors: 15, use_rep: X_pca}`"],
    ),
    "deeper graphs": (
        one(f"{LEIDEN}, hierarchy: 2, neighbors: {{n_neighbors: 30}}"),
        {"hierarchy": 2, "neighbors": {"n_neighbors": 30}},
        ["DATASETS.lung.clustering.neighbors: what is not given", "`neighbors: {n_neighbors: 30, use_rep: X_pca}`"],
    ),
    "gate": (one(f"{LEIDEN}, use_gpu: true"), {"use_gpu": True}, ["use_gpu: scAtlasTb used GPUs only if"]),
    "module": (
        one(LEIDEN, "pca"),
        {},
        ["input.clustering: `pca` names the output", "test/out/pca/dataset~lung/file_id~….zarr"],
    ),
    "module among files": (one(LEIDEN, "{a: x.h5ad, b: pca}"), {}, ["`pca` names the output"]),
    "file": (one(LEIDEN, "lung.h5ad"), {}, []),
    "tasks": (one(LEIDEN).replace("DATASETS", "TASKS"), {}, ["TASKS: called `DATASETS` here"]),
    "unknown section": (one(LEIDEN, rest="    clusterings: {}\n"), {}, ["did you mean `clustering`?"]),
    "numbers as names": (
        one(LEIDEN, top=TOP + "defaults: {datasets: [2024]}\n").replace("lung:", "2024:"),
        {},
        [],
    ),
}
