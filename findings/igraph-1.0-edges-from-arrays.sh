#!/bin/sh
# python-igraph 1.0.0, numpy 2.3.5 (Python 3.11)
#
# `Graph(n, edges)` takes a NumPy array of edges, and hands it on as a memoryview "as the lower-level C API works with
# memoryviews only". One would expect a buffer to be read without Python's integers. It takes about three times as long as
# a list of tuples of the same edges, and longer than making that list from the array first. An array of int32 is no
# faster. The graphs are the same.
# Our guess was that the array is the fastest.
#
# Output seen (a million edges; CPU seconds of the best of three):
#   array 0.87  int32 array 0.87  list of tuples 0.24  list made from the array, and the graph 0.54
#   the array takes more than 1.5 times as long as the list: True
#   making the list first is faster than the array: True
#   the graphs are equal: True
#
# Exits with 1 if one of the three answers changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check igraph==1.0.0 numpy==2.3.5
cat > "$folder/show.py" <<'PYTHON'
import time

import igraph
import numpy as np

n, m = 100_000, 1_000_000
array = np.unique(np.sort(np.random.default_rng(0).integers(0, n, (m, 2)), axis=1), axis=0)


def pairs():
    return list(zip(array[:, 0].tolist(), array[:, 1].tolist()))


def seconds(edges):
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        igraph.Graph(n=n, edges=edges())
        best = min(best, time.process_time() - started)
    return best


small, listed = array.astype(np.int32), pairs()
of_array, of_small, of_list, of_made = map(seconds, (lambda: array, lambda: small, lambda: listed, pairs))
print(
    f"array {of_array:.2f}  int32 array {of_small:.2f}  list of tuples {of_list:.2f}  "
    f"list made from the array, and the graph {of_made:.2f}"
)
same = igraph.Graph(n=n, edges=array).get_edgelist() == igraph.Graph(n=n, edges=listed).get_edgelist()
print("the array takes more than 1.5 times as long as the list:", of_array > 1.5 * of_list)
print("making the list first is faster than the array:", of_made < of_array)
print("the graphs are equal:", same)
PYTHON
"$folder/venv/bin/python" "$folder/show.py" > "$folder/seen"
cat "$folder/seen"
sed -n 's/^#   \(the .*\)/\1/p' "$0" > "$folder/expected"
grep "^the " "$folder/seen" | diff "$folder/expected" -
