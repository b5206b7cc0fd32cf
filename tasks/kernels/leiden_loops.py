"""The loops of Leiden, compiled. None makes an array, which halves the time to compile: whoever calls brings them.

`cellstrata.tasks.kernels.leiden` calls them and says what they are for. Everywhere row i of a graph has
`targets[starts[i]:starts[i + 1]]` (int32) and `weights` (float32, positive); `strengths` is (n,) float64, `member` the
cluster of each vertex, (n,) int32 below n. `linked` is (n,) float64, all zero before and after; `near` (n,) int32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.compilation import compiled

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Strengths = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
State = npt.NDArray[np.uint64]


@compiled
def below(state: State, limit: int) -> int:
    """Draw a whole number from 0 to `limit` - 1, which is below 2^31, by xorshift64* of the `state`, (1,) uint64."""
    drawn = state[0]
    drawn ^= drawn >> np.uint64(12)
    drawn ^= drawn << np.uint64(25)
    drawn ^= drawn >> np.uint64(27)
    state[0] = drawn
    high = (drawn * np.uint64(2685821657736338717)) >> np.uint64(33)
    return np.int64((high * np.uint64(limit)) >> np.uint64(31))  # type: ignore[return-value]


@compiled
def shuffle_blocks(state: State, size: int, blocks: Int32s, found: Int32s) -> None:
    """Fill `found` (n,) with the numbers below n in a random order of blocks of a size, each in a random order."""
    for at in range(len(blocks)):
        blocks[at] = at
    for at in range(len(blocks) - 1, 0, -1):
        other = below(state, at + 1)
        blocks[at], blocks[other] = blocks[other], blocks[at]
    last = 0
    for block in range(len(blocks)):
        first, start = last, blocks[block] * size
        for vertex in range(start, min(len(found), start + size)):
            found[last] = vertex
            last += 1
        for at in range(last - first - 1, 0, -1):
            other = below(state, at + 1)
            found[first + at], found[first + other] = found[first + other], found[first + at]


@compiled
def move_vertices(
    starts: Int64s, targets: Int32s, weights: Floats, strengths: Strengths, gamma: float, least: float, visits: int,
    member: Int32s, queue: Int32s, rests: Bools,
    of_cluster: Strengths, size: Int32s, empty: Int32s, linked: Strengths, near: Int32s,
) -> None:  # fmt: skip
    """Move vertices to the clusters where they add most, in at most so many visits, from a queue of all, (n,) int32.

    `rests` are all false; `of_cluster` and `size` all zero; `empty` is (n,).
    """
    n = len(strengths)
    for vertex in range(n):
        of_cluster[member[vertex]] += strengths[vertex]
        size[member[vertex]] += 1
    n_empty = 0
    for cluster in range(n - 1, -1, -1):
        if not size[cluster]:
            empty[n_empty] = cluster
            n_empty += 1
    head, n_waiting = 0, n
    for _ in range(visits):
        if not n_waiting:
            break
        vertex = queue[head]
        head = head + 1 if head + 1 < n else 0
        n_waiting -= 1
        rests[vertex] = True
        n_near = 0
        for edge in range(starts[vertex], starts[vertex + 1]):
            cluster = member[targets[edge]]
            if linked[cluster] == 0.0:
                near[n_near] = cluster
                n_near += 1
            linked[cluster] += weights[edge]
        own, price = member[vertex], gamma * strengths[vertex]
        of_cluster[own] -= strengths[vertex]
        best, most = own, linked[own] - price * of_cluster[own]
        for at in range(n_near):
            cluster = near[at]
            gain = linked[cluster] - price * of_cluster[cluster]
            linked[cluster] = 0.0
            if gain > most + least and cluster != own:
                best, most = cluster, gain
        if most < -least and size[own] > 1:  # better alone; a vertex that shares a cluster leaves one empty
            best = empty[n_empty - 1]
        of_cluster[best] += strengths[vertex]
        if best == own:
            continue
        if not size[best]:
            n_empty -= 1
        size[best] += 1
        size[own] -= 1
        if not size[own]:
            empty[n_empty] = own
            n_empty += 1
        member[vertex] = best
        for edge in range(starts[vertex], starts[vertex + 1]):
            target = targets[edge]
            if rests[target] and member[target] != best:
                rests[target] = False
                end = head + n_waiting
                queue[end if end < n else end - n] = target
                n_waiting += 1


@compiled
def refine_clusters(
    starts: Int64s, targets: Int32s, weights: Floats, strengths: Strengths, gamma: float,
    member: Int32s, order: Int32s, part: Int32s, joined: Bools,
    of_cluster: Strengths, of_part: Strengths, outward: Strengths, linked: Strengths, near: Int32s,
) -> None:  # fmt: skip
    """Put single vertices together into parts of clusters: each joins the part of its cluster that gains most.

    Both must be well connected to the rest of the cluster. `part` is each vertex alone, `joined` all false, `of_part`
    the strengths; `of_cluster` and `outward`, the weight from a part to the rest of its cluster, are all zero.
    """
    n = len(strengths)
    for vertex in range(n):
        of_cluster[member[vertex]] += strengths[vertex]
        for edge in range(starts[vertex], starts[vertex + 1]):
            if member[targets[edge]] == member[vertex]:
                outward[vertex] += weights[edge]
    for turn in range(n):
        vertex = order[turn]
        own, whole = strengths[vertex], of_cluster[member[vertex]]
        if joined[vertex] or outward[vertex] < gamma * own * (whole - own):
            continue
        n_near = 0
        for edge in range(starts[vertex], starts[vertex + 1]):
            if member[targets[edge]] == member[vertex]:
                other = part[targets[edge]]
                if linked[other] == 0.0:
                    near[n_near] = other
                    n_near += 1
                linked[other] += weights[edge]
        best, most, between = vertex, 0.0, 0.0
        for at in range(n_near):
            other = near[at]
            gain = linked[other] - gamma * own * of_part[other]
            if gain > most and outward[other] >= gamma * of_part[other] * (whole - of_part[other]):
                best, most, between = other, gain, linked[other]
            linked[other] = 0.0
        if best != vertex:
            outward[best] += outward[vertex] - 2 * between
            of_part[best] += own
            part[vertex] = best
            joined[vertex] = joined[best] = True


@compiled
def number_labels(labels: Int32s, found: Int32s) -> int:
    """Number labels, (n,) int32 below n, by their first vertex from 0; `found` is (n,), all 0. Return how many."""
    count = 0
    for at in range(len(labels)):
        if not found[labels[at]]:
            count += 1
            found[labels[at]] = count
        labels[at] = found[labels[at]] - 1
    return count


@compiled
def gather_members(strengths: Strengths, part: Int32s, bounds: Int64s, members: Int32s, summed: Strengths) -> None:
    """Fill `members` (n,) with the vertices of each part, from `bounds` (n_parts + 1,) on, and sum their strengths.

    `bounds` and `summed` are all zero.
    """
    n, n_parts = len(part), len(summed)
    for vertex in range(n):
        summed[part[vertex]] += strengths[vertex]
        bounds[part[vertex]] += 1
    for at in range(1, n_parts):
        bounds[at] += bounds[at - 1]
    bounds[n_parts] = n
    for vertex in range(n - 1, -1, -1):
        bounds[part[vertex]] -= 1
        members[bounds[part[vertex]]] = vertex


@compiled
def count_between(starts: Int64s, targets: Int32s, part: Int32s) -> int:
    """Return how many edges lead from one part to another."""
    found = 0
    for vertex in range(len(part)):
        for edge in range(starts[vertex], starts[vertex + 1]):
            found += part[targets[edge]] != part[vertex]
    return found


@compiled
def sum_between(
    starts: Int64s, targets: Int32s, weights: Floats, part: Int32s, bounds: Int64s, members: Int32s,
    linked: Strengths, near: Int32s, rows: Int64s, to: Int32s, added: Floats,
) -> None:  # fmt: skip
    """Fill the adjacency of the parts: the weights between each two are summed, none leads to itself."""
    last = 0
    for own in range(len(bounds) - 1):
        n_near = 0
        for at in range(bounds[own], bounds[own + 1]):
            for edge in range(starts[members[at]], starts[members[at] + 1]):
                other = part[targets[edge]]
                if other != own:
                    if linked[other] == 0.0:
                        near[n_near] = other
                        n_near += 1
                    linked[other] += weights[edge]
        for at in range(n_near):
            to[last], added[last] = near[at], linked[near[at]]
            linked[near[at]] = 0.0
            last += 1
        rows[own + 1] = last


@compiled
def find_common_parts(starts: Int64s, targets: Int32s, members: Int32s, part: Int32s, stack: Int32s) -> int:
    """Number what hangs together within the clusters of every partition, by first vertices; return how many there are.

    `members` is (n, partitions), in rows; `part` (n,) is all -1, `stack` is (n,).
    """
    count, n_partitions = 0, members.shape[1]
    for first in range(len(members)):
        if part[first] >= 0:
            continue
        part[first] = count
        stack[0] = first
        height = 1
        while height:
            height -= 1
            vertex = stack[height]
            for edge in range(starts[vertex], starts[vertex + 1]):
                target = targets[edge]
                if part[target] >= 0:
                    continue
                at = 0
                while at < n_partitions and members[target, at] == members[vertex, at]:
                    at += 1
                if at == n_partitions:
                    part[target] = count
                    stack[height] = target
                    height += 1
        count += 1
    return count


@compiled
def weight_within(starts: Int64s, targets: Int32s, weights: Floats, member: Int32s) -> float:
    """Return the weight within clusters, each edge in both its directions."""
    found = 0.0
    for vertex in range(len(member)):
        for edge in range(starts[vertex], starts[vertex + 1]):
            if member[targets[edge]] == member[vertex]:
                found += weights[edge]
    return found
