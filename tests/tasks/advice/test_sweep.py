"""At which resolutions a sweep looks, for numbers of clusters of any kind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.advice.sweep import HIGHEST, LOWEST, MOST, next_resolutions, preferred


def sweep(clusters: Callable[[float], int]) -> dict[float, int]:
    """Sweep to the end, over a number of clusters by resolution."""
    found: dict[float, int] = {}
    while wanted := next_resolutions(found):
        assert not set(wanted) & set(found)
        found |= {resolution: clusters(resolution) for resolution in wanted}
    return found


def test_preferred_numbers_are_even_by_their_logarithm_and_can_be_read() -> None:
    numbers = [preferred(number) for number in range(LOWEST, HIGHEST + 1)]
    assert (numbers[0], preferred(-20), preferred(0), numbers[-1]) == (0.01, 0.1, 1.0, 10.0)
    assert len(set(numbers)) == len(numbers) == 61
    steps = [math.log10(other / one) for one, other in itertools.pairwise(numbers)]
    assert all(0.043 < step < 0.059 for step in steps)
    assert all(len(f"{number:g}") <= 7 for number in numbers)


def test_it_begins_with_eight() -> None:
    assert next_resolutions({}) == (0.1, 0.16, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5)


def test_it_looks_closer_where_the_number_jumps_and_nowhere_else() -> None:
    assert sorted(sweep(lambda resolution: 4 if resolution < 0.5 else 14)) == [
        0.1, 0.16, 0.25, 0.4, 0.45, 0.5, 0.63, 1.0, 1.6, 2.5,
    ]  # fmt: skip


def test_it_goes_on_where_there_are_too_many_or_too_few() -> None:
    many = sweep(lambda resolution: round(100 * resolution**0.5))
    assert min(many) == 0.01
    few = sweep(lambda resolution: 1 + round(resolution))
    assert max(few) == 10.0
    assert min(few) == 0.1
    apart = sweep(lambda resolution: 9 if resolution < 1 else 20)
    assert min(apart) == 0.1  # parts that do not hang together: they would become no fewer


@given(st.lists(st.integers(1, 500), min_size=61, max_size=61))
def test_it_ends_whatever_it_finds(counts: list[int]) -> None:
    numbers = [preferred(number) for number in range(LOWEST, HIGHEST + 1)]
    by_resolution = dict(zip(numbers, counts, strict=True))
    found = sweep(by_resolution.__getitem__)
    assert 8 <= len(found) <= MOST
    assert set(found) <= set(numbers)
