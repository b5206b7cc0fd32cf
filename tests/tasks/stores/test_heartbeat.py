"""Signs of life: whose count, and the thread that renews them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from cellstrata.tasks.stores.heartbeat import OF_A_RUN, OF_WORK, Heartbeat, Pace, may_live, own_process

HOST = socket.gethostname()


def test_this_process_lives_and_one_that_has_ended_does_not() -> None:
    assert own_process() == {"host": HOST, "pid": os.getpid()}
    assert may_live(own_process())
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not may_live({"host": HOST, "pid": process.pid})
    assert may_live({"host": "elsewhere", "pid": process.pid})


@pytest.mark.parametrize("pid", ["x", None, [], 1e99, float("nan"), 2**70])
def test_what_is_no_process_does_not_live(pid: Any) -> None:
    assert not may_live({"host": HOST, "pid": pid})
    assert not may_live({"host": HOST})
    assert may_live({"pid": pid})  # of a host that it does not name nothing is known


def test_old_signs_and_those_of_a_wrong_clock_count_for_nothing() -> None:
    pace = Pace(1.0, 30.0)
    assert [pace.counts(age) for age in (0, 30, -30, 31, -31, float("nan"))] == [True, True, True, False, False, False]
    for each in (OF_WORK, OF_A_RUN):
        assert each.dead_after >= 3 * each.renewed_every  # one that comes late does not end it


def test_it_beats_until_it_is_stopped_whatever_the_store_raises() -> None:
    beats: list[float] = []
    many = threading.Event()

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 3:
            many.set()
        raise RuntimeError("a bucket")

    heart = Heartbeat("test-heart", 0.01, beat)
    heart.stop()  # before it has begun
    heart = Heartbeat("test-heart", 0.01, beat)
    heart.start()
    assert many.wait(10)
    heart.stop()
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count
    assert "test-heart" not in {thread.name for thread in threading.enumerate()}


def test_a_beat_that_is_under_way_is_waited_for() -> None:
    under_way, written = threading.Event(), []

    def beat() -> None:
        under_way.set()
        time.sleep(0.2)
        written.append(1)

    heart = Heartbeat("test-heart", 0.01, beat)
    heart.start()
    assert under_way.wait(10)
    heart.stop()
    assert written


def test_it_ends_when_the_place_is_anothers() -> None:
    beats: list[int] = []
    heart = Heartbeat("test-heart", 0.01, lambda: bool(beats.append(1)))
    heart.start()
    time.sleep(0.2)
    assert beats == [1]
    heart.stop()
