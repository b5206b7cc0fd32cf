"""The table of malformed configurations, inputs and calls: what is there, the call, what its message names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.flows.commands import broken_inputs as broken
from tests.flows.commands.broken_inputs import Builder, N, cells, edited, holding, of_bytes, replaced

TEMPLATE = """\
output_dir: out
{top}
DATASETS:
  d:
    input: {{clustering: {{f: {url}}}}}
    clustering:
      {base}
      {clustering}
"""
RIGHT = "{algorithm: leiden, resolutions: [0.5]}"
DATASET = f"{{input: {{clustering: x}}, clustering: {RIGHT}}}"
BASE = "algorithm: leiden\n      resolutions: [0.5]"
C = "DATASETS.d.clustering."
AGAIN = "recompute_neighbors: true"
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Case:
    """A call that must be refused, what is there before it, and what its message has to name."""

    name: str
    command: str
    words: tuple[str, ...]
    make: Builder = lambda folder: None
    config: str | bytes | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def text(name: str, config: str | bytes, *words: str) -> Case:
    """A configuration that is wrong as a whole."""
    return Case(name, "run config.yaml", words, config=config)


def key(name: str, clustering: str, *words: str, top: str = "", base: str = BASE, more: str = "", **env: str) -> Case:
    """A configuration with something wrong in one place, or in an option or a variable beside it."""
    config = TEMPLATE.format(top=top, url="in.h5ad", base=base, clustering=clustering)
    return Case(name, f"run config.yaml {more}", words, config=config, env=env)


def data(name: str, make: Builder, settings: str, *words: str, url: str = "in.h5ad", more: str = "") -> Case:
    """A good configuration and an input that is wrong, or does not fit it."""
    config = TEMPLATE.format(top="", url=url, base=BASE, clustering=settings.replace("; ", "\n      "))
    return Case(name, f"run config.yaml {more}", ("d/f", *words), make, config)


def call(name: str, arguments: str, *words: str, make: Builder = cells, **env: str) -> Case:
    """A call of another command."""
    return Case(name, arguments, words, make, env=env)


def several(top: str, **datasets: str) -> str:
    """Write a configuration of several datasets, each in one line."""
    return f"output_dir: out\n{top}\nDATASETS:\n" + "".join(f"  {name}: {d}\n" for name, d in datasets.items())


CONFIGURATIONS = [
    Case("missing file", "run confg.yaml", ("confg.yaml", "no such file", "did you mean `config.yaml`?"), config=""),
    Case("a folder", "run .", (".", "is a folder")),
    text("empty", "", "config.yaml", "empty"),
    text("only a comment", "# later\n", "config.yaml", "empty"),
    text("not YAML", "output_dir: [out\nDATASETS: {", "config.yaml", "line"),
    text("not UTF-8", b"output_dir: \xff\xfe\x00", "config.yaml", "no UTF-8"),
    text("an h5ad file", b"\x89HDF\r\n\x1a\n\x00\x00", "config.yaml", "no UTF-8"),
    text("a list", "- output_dir: out\n", "config.yaml", "must be a mapping"),
    text("tabs", "DATASETS:\n\td: 1\n", "line 2", "not tabs"),
    text("duplicate key", "output_dir: a\noutput_dir: b\n", "output_dir", "lines 1 and 2"),
    text("an alias of itself", "output_dir: &a [*a]\n", "config.yaml", "alias"),
    text("no output_dir", f"DATASETS: {{d: {DATASET}}}", "output_dir", "missing"),
    text("no datasets", "output_dir: out", "DATASETS", "names no dataset"),
    text("slash in a name", several("", **{"a/b": DATASET}), "a/b"),
    text("long name", several("", **{"ü" * 101: DATASET}), "too long", "at most 200 bytes"),
    text("no files", several("", d=DATASET.replace("x", "[]")), "input.clustering", "file"),
    text(
        "two datasets",
        several("", a="{input: {clustering: x}, clustering: {algorithm: leidn, resolutions: 1}}",
                b="{input: {clustering: x}, clustering: {algorithm: leiden, resolutions: 0}}"),
        "2 problems", "DATASETS.a.clustering.algorithm", "DATASETS.b.clustering.resolutions",
    ),
    text("30 problems", several("".join(f"zz{n}: 1\n" for n in range(30)), d=DATASET), "30 problems", "more"),
    key("unknown top key", "", "ouput_dir (line 2)", "did you mean `output_dir`?", top="ouput_dir: x"),
    key("unknown key", "resolutoins: 1", C + "resolutoins (line 9)", "did you mean `resolutions`?"),
    key("no algorithm", "", C + "algorithm", "missing", base="resolutions: [1]"),
    key("no resolutions", "", C + "resolutions", "missing", base="algorithm: leiden"),
    key("algorithm misspelt", "", C + "algorithm", "`louvain`?", base="{algorithm: louvian, resolutions: 1}"),
    *(
        key(f"resolution {value}", "", C + "resolutions", said, base=f"{{algorithm: leiden, resolutions: {value}}}")
        for value, said in [("[0.5, 0]", "greater than 0"), ("-1", "`-1`"), (".nan", "nan"), ("high", "'high'")]
    ),
    *(
        key(f"hierarchy {value}", f"hierarchy: {value}", C + "hierarchy", said)
        for value, said in [
            ("true", "hierarchy: 2"), ("[0.5, 0.2]", "not a list"), ("0", "at least 1"), ("-1", "at least 1"),
            ("{1: low}", "not `'low'`"), ('{"a": 1}', "no cluster id"), ("{levels: {0: 1}}", "count from 1"),
        ]
    ),
    key("neighbors a number", "neighbors: 30", C + "neighbors", "mapping"),
    key("n_neighbors 1", "neighbors: {n_neighbors: 1}", C + "neighbors.n_neighbors", "at least 2"),
    key("n_neighbors text", "neighbors: {n_neighbors: many}", C + "neighbors.n_neighbors", "whole number"),
    key("unknown metric", "neighbors: {metric: manhattan}", C + "neighbors.metric", "euclidean"),
    key("use_gpu maybe", "use_gpu: maybe", C + "use_gpu", "`required`"),
    key("no GPU", "use_gpu: required", C.rstrip("."), "GPU"),
    key("unknown runner", "", "runner (line 2)", "`threads`", top="runner: thread"),
    key("no address of Dask", "", "dask.address", "tcp://", top="dask: {address: host}"),
    key("unknown engine", "engine: igrph", C + "engine", "did you mean `igraph`?"),
    key("two seeds", "clustering_args: {seed: 1, random_state: 2}", C + "clustering_args.random_state", "contradicts"),
    key("seed in defaults", "", "defaults.clustering.seed (line 2)", top="defaults: {clustering: {seed: -1}}"),
    key("selects nothing", "", "defaults.datasets[0]", "did you mean `d`?", top="defaults: {datasets: [D]}"),
    key("bad variable", "", "CELLSTRATA_WORKERS", "whole number", CELLSTRATA_WORKERS="many"),
    key("bad option", "", "option --workers", "at least 1", more="--workers 0"),
    key("option without value", "", "--output_dir", "needs a value", more="--output_dir"),
    key("unknown option", "", "--workrs", "did you mean `--workers`?", more="--workrs 2"),
    key("lost word", "", "`2`", "stands alone", more="2"),
    key("unknown dataset", "", "no dataset `lung`", more="--DATASETS.lung.clustering.seed 1"),
    key("output_dir unknown protocol", "", "output_dir", "foo", more="--output_dir foo://out"),
    key("cache unknown protocol", "", "cache", "foo", more="--cache foo://cache"),
    key("output_dir in a file", "", "output_dir", "config.yaml is a file", more="--output_dir config.yaml/out"),
    key("cache is a file", "", "cache", "config.yaml", more="--cache config.yaml"),
]  # fmt: skip

INPUTS = [
    data("missing", of_bytes(b"", "on.h5ad"), "", "in.h5ad", "no such file"),
    data("empty", of_bytes(b""), "", "in.h5ad", "is empty"),
    data("text", of_bytes(b"cell,gene\n"), "", "in.h5ad", "neither an h5ad file nor a zarr"),
    data("truncated", broken.truncated, "", "in.h5ad", "truncated"),
    data("overwritten", broken.overwritten_in_the_middle, "", "in.h5ad", "damaged"),
    data("damaged chunk", broken.damaged_chunk, AGAIN, "in.h5ad", "obsm['X_pca']", "cannot be read"),
    data("damaged zarr chunk", broken.damaged_zarr_chunk, AGAIN, "obsm['X_pca']", "cannot be read", url="in.zarr"),
    data("no zarr", broken.folder_of_text, "", "in.zarr", "is no zarr group", url="in.zarr"),
    data("empty folder", lambda folder: (folder / "in.zarr").mkdir(), "", "in.zarr", "no zarr group", url="in.zarr"),
    data("damaged zarr", broken.zarr_damaged_at(""), "", "in.zarr", "damaged", url="in.zarr"),
    data("damaged obs", broken.zarr_damaged_at("obs"), "", "in.zarr", "obs", url="in.zarr"),
    data("damaged obsm", broken.zarr_damaged_at("obsm/X_pca"), AGAIN, "in.zarr", "obsm", url="in.zarr"),
    data("zarr without obs", broken.zarr_without("obs"), "", "in.zarr: obs", "no AnnData", url="in.zarr"),
    data("zip of text", broken.zip_of_text, "", "in.zarr", "no zarr group", url="in.zarr"),
    data("damaged zip", of_bytes(b"PK\x03\x04damaged", "in.zarr"), "", "in.zarr", "damaged", url="in.zarr"),
    data("obs without index", edited(broken.obs_without_index), "", "in.h5ad: obs", "_index"),
    data("obs a number", edited(broken.obs_of_a_number), "", "in.h5ad: obs"),
    data("uns of unknown kind", edited(broken.neighbors_of_unknown_kind), "", "uns['neighbors']"),
    data("unknown protocol", cells, "", "foo://in.h5ad", "foo", url="foo://in.h5ad"),
    data("missing in memory", cells, "", "memory://nowhere/in.zarr", "no such file", url="memory://nowhere/in.zarr"),
    data("no such embedding", cells, f"{AGAIN}; neighbors: {{use_rep: X_scv}}", "obsm['X_scv']", "mean `X_scvi`?"),
    data("nor at level 3", cells, "hierarchy: {clusters: {1_0: {use_rep: X_um}}}", "X_um", "neighbors.use_rep"),
    data("NaN", holding("obsm/X_pca", 7, NAN), "hierarchy: 2", "obsm['X_pca']", "row 7"),
    data("infinity", holding("obsm/X_pca", 7, INF), AGAIN, "obsm['X_pca']", "row 7"),
    data("too few rows", replaced("obsm/X_pca", broken.CELLS[:-5]), "hierarchy: 2", "obsm['X_pca']", str(N - 5)),
    data("no columns", replaced("obsm/X_pca", broken.CELLS[:, :0]), AGAIN, "obsm['X_pca']", "no columns"),
    data("embedding of text", replaced("obsm/X_pca", [["a"]] * N), AGAIN, "obsm['X_pca']", "numbers"),
    data("too many n_pcs", cells, f"{AGAIN}; neighbors: {{n_pcs: 20}}", "obsm['X_pca']", "3 columns", "20"),
    data("graph of other cells", edited(broken.graph_of_one_cell_less), "", "obsp['connectivities']", f"({N - 1}, "),
    data("graph with NaN", holding("obsp/connectivities/data", 3, NAN), "", "obsp['connectivities']", AGAIN),
    data("graph with -1", holding("obsp/connectivities/data", 3, -1), "", "obsp['connectivities']", "negative"),
    data("graph out of range", holding("obsp/connectivities/indices", 3, 9999), "", "obsp", "damaged"),
    data("no such graph", cells, "neighbors_key: harmony", "uns['harmony']", "neighbors", AGAIN),
    data("recorded metric", broken.recorded("metric", "manhattan"), "hierarchy: 2", "manhattan", "neighbors.metric"),
    data("no such colour", cells, "umap_colors: [cell_typ]", "obs['cell_typ']", "did you mean `cell_type`?"),
    data("half a hierarchy", edited(broken.no_level_1), "hierarchy: 2; overwrite: false", "leiden_0.5_2", "overwrite"),
    data("output over input", broken.zarr_input, "", "over its own input", "output_dir", url="in.zarr",
         more="--output_dir in.zarr/more"),
    data("foreign output", broken.foreign_output, "", "file_id~f.zarr", "not made by cellstrata", "output_dir"),
    data("over an older result", broken.with_an_older_result, AGAIN, "obsm['X_pca']", "row 7"),
    text("30 inputs", several("", **{f"d{n}": DATASET.replace("x", f"no{n}") for n in range(30)}),
         "no0: there is no such file", "21 more"),
    data("may not be read", broken.unreadable, "", "in.h5ad", "permissions"),
]  # fmt: skip

ONE = "cluster in.h5ad one.zarr"
NEXT = f"{ONE} --level 2"
CLUSTER = [
    call("level 0", f"{ONE} --level 0", "--level", "from 1 on"),
    call("level 1.5", f"{ONE} --level 1.5", "--level", "whole number"),
    call("no parent", f"{ONE} --level 4", "leiden_…_3", "level 3 first"),
    call("two parents", NEXT, "leiden_0.5_1, leiden_2.0_1", "--parent_key"),
    call("parent not there", f"{NEXT} --parent_key leidn_0.5_1", "obs['leidn_0.5_1']", "did you mean `leiden_0.5_1`?"),
    call("parent of numbers", f"{NEXT} --parent_key score", "obs['score']", "not whole"),
    call("no embedding", f"""{NEXT} --resolution 2 --neighbors_args '{{"use_rep": "X_scv"}}'""", "X_scvi"),
    call("no JSON", f"{ONE} --neighbors_args n_neighbors=15", "--neighbors_args", "no JSON"),
    call("JSON list", f"{ONE} --clustering_args '[1]'", "--clustering_args", "JSON object"),
    call("unknown argument", f"""{ONE} --clustering_args '{{"iterations": 5}}'""", "--clustering_args",
         "iterations"),
    call("resolution text", f"{ONE} --resolution high", "--resolution", "'high'"),
    call("resolution nan", f"{ONE} --resolution nan", "--resolution", "greater than 0"),
    call("threads 0", f"{ONE} --threads 0", "--threads", "at least 1"),
    call("unknown algorithm", f"{ONE} --algorithm kmeans", "--algorithm", "`louvain`"),
    call("no such graph", f"{ONE} --neighbors_key harmony", "uns['harmony']", "neighbors"),
    call("h5ad output", "cluster in.h5ad one.h5ad", "OUTPUT", "one.zarr"),
    call("foreign output", ONE, "one.zarr", "not made by cellstrata", make=broken.foreign_folder),
    call("output is input", "cluster in.zarr in.zarr --overwrite", "in.zarr", "OUTPUT", make=broken.zarr_input),
    call("output in input", "cluster in.zarr in.zarr/one.zarr", "in.zarr", "OUTPUT", make=broken.zarr_input),
    call("output of run", ONE, "one.zarr", "result of `cellstrata run`", make=broken.earlier()),
    call("output of another", ONE, "leiden_3.0_1", "--overwrite", make=broken.earlier(command="cluster")),
    call("its column in it", "cluster in.zarr in.zarr/one.zarr --resolution 2", "OUTPUT", make=broken.zarr_input),
    call("parent of level 1", f"{ONE} --parent_key leiden_0.5_1", "--parent_key", "--level 2"),
    call("output of a long name", f"cluster in.h5ad deep/{'o' * 196}.zarr/", "OUTPUT", "at most 200 bytes"),
    call("output below a file", "cluster in.h5ad in.h5ad/one.zarr", "in.h5ad", "OUTPUT"),
    call("output unknown protocol", "cluster in.h5ad foo://one.zarr", "foo"),
    call("missing input", "cluster on.h5ad one.zarr", "on.h5ad", "no such file"),
    call("obs without index", ONE, "in.h5ad: obs", make=edited(broken.obs_without_index)),
    call("damaged column", f"{NEXT} --resolution 2", "obs['leiden_2.0_1']", make=edited(broken.parent_of_unknown_kind)),
    call("bad variable", ONE, "CELLSTRATA_GRAIN", "whole number", CELLSTRATA_GRAIN="fine"),
    call("unknown option", f"{ONE} --levels 2", "--levels"),
    call("no output", "cluster in.h5ad", "OUTPUT"),
]  # fmt: skip

OTHERS = [
    call("no arguments", "", "usage", "COMMAND"),
    call("unknown command", "frobnicate", "frobnicate"),
    call("schema with an option", "schema --out x", "--out"),
    call("collect nothing", "collect --output labels.csv", "RESULT"),
    call("collect to nowhere", "collect in.h5ad", "--output"),
    call("collect missing", "collect a.zarr --output labels.csv", "a.zarr", "no such file"),
    call("collect other cells", "collect a.zarr b.zarr --output labels.csv", "b.zarr", make=broken.two_results),
    call("collect below a file", "collect in.h5ad --output in.h5ad/labels.csv", "in.h5ad"),
    call("collect beside a file", "collect a.zarr --output labels.csv/all.csv", "labels.csv is a file",
         make=broken.result_and_existing_output),
    call("collect unknown suffix", "collect in.h5ad --output labels.xlsx", "labels.xlsx", ".csv"),
    call("collect over a file", "collect a.zarr --output labels.csv", "labels.csv", "--overwrite",
         make=broken.result_and_existing_output),
    call("migrate missing", "migrate old.yaml", "old.yaml", "no such file"),
    call("migrate no YAML", "migrate old.yaml", "old.yaml", "line 1", make=of_bytes(b"a: b: c", "old.yaml")),
    call("migrate a list", "migrate old.yaml", "old.yaml", "mapping", make=of_bytes(b"- a", "old.yaml")),
    call("migrate empty", "migrate old.yaml", "old.yaml", "empty", make=of_bytes(b"", "old.yaml")),
]  # fmt: skip

TABLE = {"config": CONFIGURATIONS, "input": INPUTS, "cluster": CLUSTER, "other": OTHERS}
