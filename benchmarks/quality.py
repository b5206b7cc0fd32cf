"""`python -m benchmarks.quality DATA … --json FILE`: how good partitions are, and how far other seeds find them again.

Each file is an h5ad with X_pca. Parts, all unless `--parts` names some:

- `level1`: single runs of ours and of igraph's Leiden, igraph's converged, the best of eight of those, and ensembles;
- `trees`: three levels with several seeds, single, as ensembles and the ancestor's way: how far seeds agree at each
  level, and how far the best column agrees with known labels;
- `bound`: what `auto` asks of the agreement of its first runs.

The file has what was measured of all parts so far, each row in place of the one that it repeats. Labels are kept in
`--kept FOLDER`: a benchmark that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.quality_bound import rows as bound_rows
from benchmarks.quality_kept import Kept
from benchmarks.quality_partitions import Asked, Level1, Row
from benchmarks.quality_trees import Data
from benchmarks.quality_trees import rows as tree_rows
from benchmarks.rows import KNOWN, runs, write_row
from benchmarks.synthetic import write_synthetic

SAME = ("data", "resolution", "known", "what", "agreement_from")  # what tells rows apart
NUMBERS = ("quality", "modularity", "ari", "levels", "best_nmi", "best_ari", "runs", "cpu")


def main() -> None:
    """Measure what is asked for, and write it down after every row."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(options.kept or folder))
        files = [
            *options.data,
            *(str(write_synthetic(Path(folder) / f"synthetic_{n}.h5ad", n)) for n in options.synthetic),
        ]
        data = [Data(Path(path).stem, path, kept) for path in files]
        document = Path(options.json) if options.json else None
        for part in options.parts:
            for row in PARTS[part](data, options):
                _told(part, row)
                if document:
                    write_row(document, part, row, SAME)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", metavar="DATA", help="an h5ad with X_pca")
    parser.add_argument("--synthetic", type=int, nargs="*", default=[], metavar="N", help="planted sets of N cells")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0, 2.0], help="of level 1")
    parser.add_argument("--ensembles", type=runs, nargs="+", default=[8, 16, 32, "auto"], help="runs of level 1")
    parser.add_argument("--repeat", type=int, default=3, help="with how many seeds level 1 is repeated")
    parser.add_argument(
        "--converged", type=int, default=3, help="how often igraph's best of eight converged runs; 0: no igraph"
    )
    parser.add_argument("--tree_resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--tree_ensembles", type=runs, nargs="+", default=[1, 8], help="runs of each split of a tree")
    parser.add_argument("--seeds", type=int, default=5, help="with how many seeds trees are repeated")
    parser.add_argument("--known", nargs="*", default=list(KNOWN), help="obs columns of known labels")
    parser.add_argument("--without_ancestor", action="store_true", help="leave the slowest out")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    parser.add_argument("--kept", metavar="FOLDER", help="where labels are kept (default: nowhere)")
    return parser.parse_args()


def _level1(data: list[Data], options: argparse.Namespace) -> Iterator[Row]:
    asked = Asked(options.ensembles, options.repeat, options.converged)
    for one in data:
        level1 = Level1(one.name, one.graph, one.kept)
        for resolution in options.resolutions:
            yield from level1.rows(resolution, asked)


def _trees(data: list[Data], options: argparse.Namespace) -> Iterator[Row]:
    for one in data:
        yield from tree_rows(
            one, options.tree_resolutions, options.tree_ensembles, options.seeds, options.known,
            with_ancestor=not options.without_ancestor,
        )  # fmt: skip


def _bound(data: list[Data], options: argparse.Namespace) -> Iterator[Row]:
    yield from bound_rows(data, options.resolutions, options.repeat)


PARTS: dict[str, Callable[[list[Data], argparse.Namespace], Iterator[Row]]] = {
    "level1": _level1,
    "trees": _trees,
    "bound": _bound,
}


def _told(part: str, row: Row) -> None:
    numbers = {name: row[name] for name in row if name in NUMBERS or name.startswith("ari_of")}
    names = " ".join(str(value) for name, value in row.items() if name in ("data", "resolution", "known", "what"))
    print(f"{part:7} {names}: {numbers}", flush=True)


if __name__ == "__main__":
    main()
