"""Whether the resolution that is advised is the one that known labels speak for.

    python -m benchmarks.advice h5ad [h5ad …] --json benchmarks/results/advice.json
    python -m benchmarks.advice --planted 20 --json …

Of each sweep the resolution that agrees best with known labels is found in hindsight, by the adjusted Rand index.
Beside it stand those that are chosen without them: the advice, the best of its candidates, that of the highest
agreement with samples of the cells (`bootstrap`), that of the highest silhouette, and by rules that were rejected.
`--folder` keeps what was computed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.advice_sweeps import Floats, Sweep, Texts, planted_data, real, swept
from benchmarks.rows import KNOWN, runs, write_row
from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.tasks.advice.advice import Advice, advise

SEPARATIONS = (4.0, 5.0, 7.0)
SAME = ("data", "known", "ensemble")  # what tells rows apart
Row = dict[str, object]


def main() -> None:
    """Run the benchmark that the command line asks for."""
    options = _options()
    for name, points, known in _data(options):
        with tempfile.TemporaryDirectory() as temporary:
            folder = str(Path(options.folder or temporary) / name)
            Path(folder).mkdir(parents=True, exist_ok=True)
            started = time.process_time()
            sweep = swept(points, folder, EvidenceConfig(), options.ensemble)
            seconds = time.process_time() - started
        advice = advise("leiden", sweep.facts)
        print(name, f"{len(points):,} cells, {seconds:.0f} CPU s:", advice.said, flush=True)
        for of, labels in known.items():
            row = {"data": name, "known": of, "ensemble": options.ensemble, **_chosen(sweep, advice, labels)}
            print(" ", row, flush=True)
            if options.json:
                write_row(Path(options.json), "choice", row, SAME)
        if options.json:
            row = {"data": name, "known": "", "ensemble": options.ensemble, **advice.to_json()}
            write_row(Path(options.json), "sweeps", row, SAME)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="h5ad files with X_pca and known labels")
    parser.add_argument("--planted", type=int, default=0, help="how many planted trees of each separation")
    parser.add_argument("--most_cells", type=int, default=6_000, help="of a planted tree")
    parser.add_argument("--ensemble", type=runs, default="auto", help="runs of each split")
    parser.add_argument("--known", nargs="*", default=list(KNOWN), help="obs columns of known labels")
    parser.add_argument("--folder", help="where splits are kept")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    return parser.parse_args()


def _data(options: argparse.Namespace) -> Iterator[tuple[str, Floats, Mapping[str, Texts]]]:
    for path in options.data:
        yield Path(path).stem, *real(path, options.known)
    for separation in SEPARATIONS if options.planted else ():
        for seed in range(options.planted):
            yield f"planted {separation:g}, {seed}", *planted_data(seed, separation, options.most_cells)


def _chosen(sweep: Sweep, advice: Advice, known: Texts) -> Row:
    """For each way of choosing its resolution and the adjusted Rand index there."""
    from sklearn.metrics import adjusted_rand_score

    there = known != ""
    found = {each: float(adjusted_rand_score(known[there], of[there])) for each, of in sweep.labels.items()}
    measured = [one for one in advice.resolutions if one.replicability is not None]
    ways = {
        "best": _highest(found),
        "advised": advice.advised,
        "candidates": _highest({each: found[each] for each in advice.candidates if each in found}),
        "bootstrap": _highest(sweep.bootstrap),
        "silhouette": _highest(sweep.silhouette),
        "most replicable": _highest({one.resolution: one.replicability for one in measured}),
        "most above clouds": _highest({one.resolution: one.excess for one in measured}),
        "finest that stands": max((one.resolution for one in measured if one.stands), default=None),
    }
    row: Row = {"groups": len(np.unique(known[there]))}
    for way, resolution in ways.items():
        row[way] = None if resolution is None else {
            "resolution": resolution, "clusters": int(sweep.labels[resolution].max()) + 1, "ari": found[resolution],
        }  # fmt: skip
    return row


def _highest(values: Mapping[float, float | None]) -> float | None:
    """The lowest of the resolutions with the highest value."""
    return max(sorted(values), key=lambda each: values[each] or 0.0) if values else None


if __name__ == "__main__":
    main()
