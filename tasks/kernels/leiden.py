"""Leiden and Louvain: moving cells, refining clusters, contracting them.

V. A. Traag, L. Waltman and N. J. van Eck, "From Louvain to Leiden: guaranteeing well-connected communities",
Scientific Reports 9 (2019), algorithm A.2, for modularity with a resolution (Reichardt and Bornholdt 2006) as CPM
whose vertices have their strengths for weights. Three things are ours:

- A move of cells ends after two visits to each vertex, on average. Clusters that are not yet at rest go on in the
  contracted graph and in the next iteration. It takes a third of the time, and finds more modularity: clusters that are
  at rest have become too large to be put together well.
- Vertices are visited in a random order of blocks, and in a random order in each, so that memory is near.
- Refining takes the best of the well connected clusters, as leidenalg does with `refine_consider_comms`; the last
  thing is a move of cells in the whole graph, after which clusters that do not hang together fall into their parts.

Every number is drawn from a generator of our own: labels depend on the graph, the parameters and the seed alone.
"""

from __future__ import annotations

import numpy as np

from cellstrata.tasks.kernels.adjacency import Adjacency
from cellstrata.tasks.kernels.leiden_loops import (
    Int32s,
    State,
    count_between,
    find_common_parts,
    gather_members,
    move_vertices,
    number_labels,
    refine_clusters,
    shuffle_blocks,
    sum_between,
    weight_within,
)

VISITS = 2  # to each vertex, on average, in one move
BLOCK = 1024  # vertices that are visited one after another
MOST_ITERATIONS = 1000  # where they go on until nothing changes
LEAST = 1e-12  # of the mean strength: a smaller gain is none
_64_BITS = (1 << 64) - 1


def leiden(
    graph: Adjacency, resolution: float, member: Int32s, seed: int, n_iterations: int = 2, *, refining: bool = True
) -> Int32s:
    """Improve a partition, (n,) int32 from 0 to n - 1, and return it in any numbering.

    `n_iterations` -1 goes on while the quality rises. With `refining` (Leiden) each cluster hangs together in the end;
    without (Louvain, which contracts whole clusters) it is as it comes.
    """
    total = float(graph.strengths.sum())
    gamma = resolution / total
    state, member, reached = generator(seed), member.copy(), -np.inf
    for _ in range(n_iterations if n_iterations >= 0 else MOST_ITERATIONS):
        member = iterate(graph, gamma, total, member, state, refining=refining)
        if n_iterations < 0:
            before, reached = reached, quality(graph, gamma, member)
            if reached <= before + LEAST * abs(reached):
                break
    move(graph, gamma, total, member, visiting_order(len(member), state))
    return connected_parts(graph, member) if refining else member


def iterate(graph: Adjacency, gamma: float, total: float, member: Int32s, state: State, *, refining: bool) -> Int32s:
    """Return a partition after one iteration: move, refine and contract until no two vertices are one part.

    `total` is the sum of all strengths, which contracted graphs have, too.
    """
    group, of_groups = np.arange(len(member), dtype=np.int32), member.copy()
    while True:
        n = len(graph.strengths)
        move(graph, gamma, total, of_groups, visiting_order(n, state))
        number(of_groups)
        part = refine(graph, gamma, of_groups, visiting_order(n, state)) if refining else of_groups.copy()
        n_parts = number(part)
        if n_parts == n:
            return of_groups[group]
        graph = contract(graph, part, n_parts)
        of_parts = np.empty(n_parts, np.int32)
        of_parts[part] = of_groups
        group, of_groups = part[group], of_parts


def generator(seed: int) -> State:
    """Return the state of a generator of random numbers, seeded by splitmix64, (1,) uint64."""
    mixed = (seed + 0x9E3779B97F4A7C15) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return np.array([mixed ^ (mixed >> 31) or 1], np.uint64)


def visiting_order(n: int, state: State) -> Int32s:
    """Return the numbers below n in a random order of blocks, each in a random order, (n,) int32."""
    found = np.empty(n, np.int32)
    shuffle_blocks(state, BLOCK, np.empty(-(-n // BLOCK), np.int32), found)
    return found


def move(graph: Adjacency, gamma: float, total: float, member: Int32s, queue: Int32s) -> None:
    """Move vertices to the clusters where they add most, in place, from a queue of all, which is used up.

    The neighbors of a moved vertex in other clusters wait for another visit. No move lowers the quality.
    """
    n = len(graph.strengths)
    move_vertices(
        *graph, gamma, LEAST * total / n, VISITS * n, member, queue, np.zeros(n, np.bool_),
        np.zeros(n), np.zeros(n, np.int32), np.empty(n, np.int32), np.zeros(n), np.empty(n, np.int32),
    )  # fmt: skip


def refine(graph: Adjacency, gamma: float, member: Int32s, order: Int32s) -> Int32s:
    """Return the parts of clusters that are put together from single vertices, (n,) int32 from 0 to n - 1."""
    n = len(graph.strengths)
    part = np.arange(n, dtype=np.int32)
    refine_clusters(
        *graph, gamma, member, order, part, np.zeros(n, np.bool_),
        np.zeros(n), graph.strengths.copy(), np.zeros(n), np.zeros(n), np.empty(n, np.int32),
    )  # fmt: skip
    return part


def number(labels: Int32s) -> int:
    """Number labels, (n,) int32 below n, by their first vertex from 0, in place; return how many there are."""
    return number_labels(labels, np.zeros(len(labels), np.int32))


def contract(graph: Adjacency, part: Int32s, n_parts: int) -> Adjacency:
    """Return the graph whose vertices are the parts, (n,) int32: weights and strengths summed, none to itself."""
    starts, targets, weights, strengths = graph
    bounds, members, summed = np.zeros(n_parts + 1, np.int64), np.empty(len(part), np.int32), np.zeros(n_parts)
    gather_members(strengths, part, bounds, members, summed)
    most = count_between(starts, targets, part)
    rows, to, added = np.zeros(n_parts + 1, np.int64), np.empty(most, np.int32), np.empty(most, np.float32)
    linked, near = np.zeros(n_parts), np.empty(n_parts, np.int32)
    sum_between(starts, targets, weights, part, bounds, members, linked, near, rows, to, added)
    return Adjacency(rows, to[: rows[-1]].copy(), added[: rows[-1]].copy(), summed)


def connected_parts(graph: Adjacency, member: Int32s) -> Int32s:
    """Return the parts of clusters that hang together, (n,) int32 from 0, numbered by their first vertex."""
    return common_parts(graph, member.reshape(-1, 1))[1]


def common_parts(graph: Adjacency, members: Int32s) -> tuple[int, Int32s]:
    """Return how many parts hang together within the clusters of every partition, (n, partitions) int32, and them.

    They are (n,) int32 from 0, numbered by their first vertex.
    """
    part = np.full(len(members), -1, np.int32)
    count = find_common_parts(graph.starts, graph.targets, members, part, np.empty(len(members), np.int32))
    return count, part


def quality(graph: Adjacency, gamma: float, member: Int32s) -> float:
    """Return the weight within clusters, in both directions, less `gamma` times their squared strengths.

    It is modularity times the sum of strengths, but for what vertices have within themselves.
    """
    of_cluster = np.bincount(member, graph.strengths)
    return float(
        weight_within(graph.starts, graph.targets, graph.weights, member) - gamma * np.square(of_cluster).sum()
    )
