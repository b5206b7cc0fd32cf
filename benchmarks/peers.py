"""`python -m benchmarks.peers DATA … --json FILE`: level 1 alone, the graph of 15 neighbors and Leiden at resolution 1.

Each contestant is a process of its own on the same embedding, all take turns. `--piaso PYTHON` names a Python that has
piaso-tools, which has no wheels for all of ours. Prints and writes seconds, CPU seconds, and the modularity on our
graph, so `cellstrata` always takes part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import measure

TIMED = """
import json, time
import numpy as np
embedding = np.load({embedding!r})
<before>
clock = lambda: (time.perf_counter(), time.process_time())
begun = clock()
<graph>
middle = clock()
<leiden>
ended = clock()
np.savez({out!r}, <kept>)
print(json.dumps({{"graph": [b - a for a, b in zip(begun, middle)], "leiden": [b - a for a, b in zip(middle, ended)]}}))
"""
ANNDATA = """
import anndata as ad
adata = ad.AnnData(np.zeros((len(embedding), 1), np.float32), obsm={{"X_pca": embedding}})
"""
NEIGHBORS = "sc.pp.neighbors(adata, n_neighbors=15, use_rep='X_pca')"
IGRAPH = "sc.tl.leiden(adata, resolution=1, flavor='igraph', n_iterations=2, directed=False, random_state=0)"
LEIDENALG = "sc.tl.leiden(adata, resolution=1, random_state=0)"
LIBREVILLE = "cl.tl.leiden(adata, resolution=1.0, random_state=0)"
OURS = """
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.partition import partition
"""
OUR_GRAPH = "graph = connectivities(nearest_neighbors(embedding, 15, threads={threads}), threads={threads})"
OUR_LEIDEN = "found = partition(graph, PartitionSpec('leiden', 1.0, seed=0), load_engine('cellstrata'))"


def contestants(piaso: str | None) -> dict[str, tuple[str, str]]:
    """Return, by name, the Python and the program of each."""
    ours, kept = sys.executable, "labels=found.labels, edges=graph.edges, weights=graph.weights"
    found = {
        "cellstrata": (ours, _timed(OURS, OUR_GRAPH, OUR_LEIDEN, kept)),
        "scanpy, igraph": (ours, _on_adata("import scanpy as sc", NEIGHBORS, IGRAPH)),
        "scanpy, its default (leidenalg)": (ours, _on_adata("import scanpy as sc", NEIGHBORS, LEIDENALG)),
        "scanpy and sc-cluster-libreville": (
            ours, _on_adata("import scanpy as sc, cluster_libreville as cl", NEIGHBORS, LIBREVILLE),
        ),
    }  # fmt: skip
    if piaso is not None:
        graph, leiden = "piaso.tl.neighbors(adata, use_rep='X_pca')", "piaso.tl.leiden(adata)"
        found["PIASO"] = (piaso, _on_adata("import piaso", graph, leiden))
    return found


def _on_adata(imports: str, graph: str, leiden: str) -> str:
    return _timed(ANNDATA + imports, graph, leiden, 'labels=adata.obs["leiden"].astype(str).to_numpy(dtype=str)')


def _timed(before: str, graph: str, leiden: str, kept: str) -> str:
    program = TIMED
    for name, code in (("before", before), ("graph", graph), ("leiden", leiden), ("kept", kept)):
        program = program.replace(f"<{name}>", code)
    return program


def main() -> None:
    """Measure each contestant on each file."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument("data", nargs="+", help="h5ad or zarr files with an embedding, or numbers of planted cells")
    parser.add_argument("--use_rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument("--piaso", help="a Python that has piaso-tools")
    parser.add_argument("--without", nargs="*", default=[], help="contestants that do not take part")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    rows = []
    for data in options.data:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            np.save(place / "embedding.npy", _embedding(data, options.use_rep))
            chosen = {name: who for name, who in contestants(options.piaso).items() if name not in options.without}
            rows += measured(Path(data).stem, place, chosen, options.repeat)
    if options.json:
        Path(options.json).write_text(json.dumps({"versions": _versions(options.piaso), "rows": rows}, indent=1) + "\n")


def _embedding(data: str, use_rep: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    from benchmarks.synthetic import planted_embedding
    from cellstrata.tasks.elements.reading import open_anndata, read_obsm
    from cellstrata.tasks.stores.places import Place

    if data.isdigit():
        return planted_embedding(int(data))[0]
    with open_anndata(Place(data)) as root:
        return np.ascontiguousarray(read_obsm(root, use_rep), np.float32)


def measured(data: str, place: Path, chosen: dict[str, tuple[str, str]], repeat: int) -> list[dict[str, Any]]:
    """Return a row of each contestant, medians of as many rounds."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for _ in range(repeat):
        for name, (python, program) in chosen.items():
            out = place / f"{name}.npz"
            names = {"embedding": str(place / "embedding.npy"), "out": str(out), "threads": os.cpu_count() or 1}
            run = measure([python, "-c", program.format(**names)], dict(os.environ))
            runs[name].append({**json.loads(run.stdout.splitlines()[-1]), "peak_mb": run.peak_mb})
            print(data, name, runs[name][-1], flush=True)
    graph = _ours(place / "cellstrata.npz")
    rows = []
    for name, of in runs.items():
        labels = np.unique(np.load(place / f"{name}.npz")["labels"], return_inverse=True)[1].astype(np.int32)
        middle = {
            f"{step}_{what}": round(statistics.median(run[step][at] for run in of), 2)
            for step in ("graph", "leiden")
            for at, what in enumerate(("wall", "cpu"))
        }
        rows.append(
            {"data": data, "what": name, **middle, "peak_mb": round(statistics.median(run["peak_mb"] for run in of)),
             "clusters": int(labels.max()) + 1, "modularity_on_ours": round(graph.modularity(labels), 4)}
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def _ours(path: Path) -> Any:
    from cellstrata.tasks.kernels.graph import Graph

    found = np.load(path)
    return Graph(len(found["labels"]), found["edges"], found["weights"])


def _versions(piaso: str | None) -> dict[str, str]:
    from importlib.metadata import version

    names = ("scanpy", "igraph", "leidenalg", "sc-cluster-libreville", "umap-learn", "pynndescent", "faiss-cpu")
    found = {name: version(name) for name in names}
    if piaso is not None:
        code = "from importlib.metadata import version; print(version('piaso-tools'))"
        found["piaso-tools"] = subprocess.run(
            [piaso, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    return found


if __name__ == "__main__":
    main()
