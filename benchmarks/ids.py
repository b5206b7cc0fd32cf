"""`python -m benchmarks.ids DATA …`: how many clusters keep their ids when cells are left out at random.

Each data set is clustered, and so is what is left of it without a share of its cells. Those clusters are then numbered
after the first. A cluster that both have, with a Jaccard index above 0.75 by the cells of both, should keep its id: how
many do with `match`, and how many have the same id where clusters are numbered by size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import cellstrata as cs
from cellstrata.tasks.matching.overlap import overlaps
from cellstrata.tasks.results.provenance import versions

COUNTS = ("clusters", "again", "kept", "moved", "by_size")
FOUND_AGAIN = 0.75  # Jaccard; Hennig 2007 calls such a cluster a stable one


def main() -> None:
    """Measure each data set, print the table, and write what is asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.ids", description=__doc__)
    parser.add_argument("data", nargs="+", help="h5ad files with an embedding")
    parser.add_argument("--use_rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--depth", type=int, default=3, help="levels (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.05, help="of cells that are left out (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often, with other cells (default: %(default)s)")
    parser.add_argument("--json", help="where the numbers go")
    options = parser.parse_args()
    rows = [row for path in options.data for row in measured(Path(path), options)]
    table = pd.DataFrame(rows).groupby(["data", "column"], sort=False)[list(COUNTS)].sum()
    for (data, column), row in table.iterrows():
        print("|", " | ".join([str(data), str(column), *(f"{row[name]:,}" for name in COUNTS)]), "|")
    if options.json:
        asked = {name: getattr(options, name) for name in ("use_rep", "resolutions", "depth", "share", "repeats")}
        Path(options.json).write_text(
            json.dumps({"versions": versions(), "asked": asked, "rows": rows}, indent=1) + "\n"
        )


def measured(path: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cluster a data set whole and without some cells; one row for each column and repeat."""
    backed = ad.read_h5ad(path, backed="r")
    embedding = np.asarray(backed.obsm[options.use_rep])
    whole = ad.AnnData(obs=pd.DataFrame(index=backed.obs_names), obsm={options.use_rep: embedding})
    with tempfile.TemporaryDirectory() as cache:

        def cluster(adata: ad.AnnData) -> None:
            cs.tl.cluster(
                adata,
                options.resolutions,
                hierarchy=options.depth,
                use_rep=options.use_rep,
                cache=cache,
                progress=False,
            )

        cluster(whole)
        for repeat in range(options.repeats):
            rows = np.flatnonzero(np.random.default_rng(repeat).random(whole.n_obs) >= options.share)
            part = ad.AnnData(obs=pd.DataFrame(index=whole.obs_names[rows]), obsm={options.use_rep: embedding[rows]})
            cluster(part)
            by_size = part.obs.copy()
            cs.tl.match(part, whole)
            for column in by_size:
                found = {"kept": part.obs[column], "by_size": by_size[column]}
                counts = counted(whole.obs[column].iloc[rows], found)
                yield {"data": path.stem, "column": column, "repeat": repeat, **counts}


def counted(earlier: pd.Series, later: dict[str, pd.Series]) -> dict[str, int]:
    """Return how many clusters there were, how many are found again, and how many of these have their id still.

    `moved` are those that are found again within a parent of another id, and so cannot have theirs.
    """
    labels = list(earlier.cat.categories)
    counts: dict[str, int] = {"clusters": len(labels)}
    for name, values in later.items():
        others = list(values.cat.categories)
        codes = (each.cat.codes.to_numpy().astype(np.int32) for each in (earlier, values))
        found = overlaps(*codes, len(labels), len(others))
        again = np.flatnonzero(found.jaccard > FOUND_AGAIN)
        pairs = [(labels[one], others[other]) for one, other in zip(found.one[again], found.other[again], strict=True)]
        counts["again"] = len(again)
        counts[name] = sum(one == other for one, other in pairs)
        if name == "kept":
            counts["moved"] = sum(one.rpartition("_")[0] != other.rpartition("_")[0] for one, other in pairs)
    return counts


if __name__ == "__main__":
    main()
