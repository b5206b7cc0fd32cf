"""What work takes, the record of a run and its trace."""

from __future__ import annotations

import json
import mmap
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.timeline.chrome_trace import MICRO, trace_events
from cellstrata.tasks.timeline.run_record import read_run_record, record_url, write_run_record
from cellstrata.tasks.timeline.work import Work, WorkLog
from cellstrata.tasks.workers.usage import Measured, Usage

MIB = 2**20


def filled(mib: int) -> int:
    """Take some memory, which goes back to the system, and some CPU time."""
    with mmap.mmap(-1, mib * MIB) as memory:
        values = np.frombuffer(memory, np.uint8)
        values[:] = 1
        total = int(values.sum())
        del values
    return total


def test_a_worker_measures_each_call_by_itself() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        before = time.time()
        large, of_large = pool.submit(Measured(filled), 200).result()
        _, of_small = pool.submit(Measured(filled), 1).result()
    assert large == 200 * MIB
    assert before - 1 <= of_large.started <= of_small.started <= time.time() + 1
    assert of_large.process == of_small.process
    assert 0 < of_large.cpu <= of_large.seconds * 1.5 + 0.1
    if of_large.peak is None or of_small.peak is None:
        pytest.skip("this kernel does not count the memory of a process from a moment on: run it on Linux")
    assert of_large.peak - of_small.peak > 150 * MIB  # what the first call took is not laid to the second


def test_threads_are_told_apart_and_errors_are_those_of_the_function() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="own") as pool:
        found, usage = pool.submit(Measured(sorted), [2, 1]).result()
    assert (found, usage.peak, usage.thread) == ([1, 2], None, "own_0")
    assert Measured(sorted).__name__ == "sorted"
    with pytest.raises(ZeroDivisionError):
        Measured(lambda: 1 // 0)()


seconds = st.floats(0, 1e6, allow_nan=False)
usages = st.builds(
    Usage, started=seconds, seconds=seconds, cpu=seconds, peak=st.none() | st.integers(0, 2**40),
    host=st.sampled_from(["a", "b"]), process=st.integers(1, 3), thread=st.sampled_from(["t", "u"]),
)  # fmt: skip
works = st.builds(
    Work, name=st.text(), asked=seconds, usage=usages, splits=st.lists(st.text("0123456789abcdef")).map(tuple)
)


@given(works)
def test_work_is_read_as_it_was_written(work: Work) -> None:
    again = Work.from_json(JsonObject.of(json.loads(json.dumps(work.to_json(0.0)))))
    assert (again.name, again.splits, again.usage.peak) == (work.name, work.splits, work.usage.peak)
    for one, other in ((again.asked, work.asked), (again.usage.started, work.usage.started)):
        assert one == pytest.approx(other, abs=1e-4)


@given(st.lists(works, max_size=20))
def test_a_trace_has_every_piece_in_the_lane_of_its_process(work: list[Work]) -> None:
    events = trace_events(work)
    named: dict[Any, Any] = {event["pid"]: event["args"] for event in events if event["name"] == "process_name"}
    drawn = [event for event in events if event["ph"] == "X"]
    assert len(drawn) == len(work)
    for event, one in zip(drawn, work, strict=True):
        assert event["ts"] == one.usage.started * MICRO
        assert named[event["pid"]] == {"name": f"{one.usage.host}, process {one.usage.process}"}
    counted: list[Any] = [event for event in events if event["ph"] == "C"]
    assert [event["ts"] for event in counted] == sorted(event["ts"] for event in counted)
    assert not counted or counted[-1]["args"] == {"pieces": 0}


def config(folder: Path) -> RunConfig:
    data = {
        "d": {"input": {"clustering": {"f": "cells.h5ad"}}, "clustering": {"algorithm": "leiden", "resolutions": 1}}
    }
    return RunConfig(
        output_dir=str(folder), storage_options={"s3": {"key": "AKIA", "secret": "hidden"}}, DATASETS=data
    )  # fmt: skip


def test_the_record_tells_of_the_run_and_no_secret(tmp_path: Path) -> None:
    log = WorkLog()
    log.note(Work(name="d/f · split", asked=log.began, usage=Measured(filled)(1)[1], splits=("ab",)))
    assert write_run_record(config(tmp_path), {"seconds": 1.0}, log) is None
    url = record_url(config(tmp_path))
    text = Path(url).read_text()
    assert "hidden" not in text
    said = json.loads(text)
    assert said["configuration"]["DATASETS"]["d"]["clustering"]["resolutions"] == [1.0]
    assert said["result"] == {"seconds": 1.0}
    (work,) = read_run_record(Place(url)).work
    assert (work.name, work.splits) == ("d/f · split", ("ab",))
    assert 0 <= work.usage.started - work.asked < 60


def test_a_record_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "clustering").write_text("a file is in the way")
    assert "no run.json was written" in (write_run_record(config(tmp_path), {}, WorkLog()) or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"), ("[]", "a list where an object"), ('{"made_by": "x", "format": 1}', "another format"),
        ('{"made_by": "cellstrata", "format": 99}', "another format"),
        ('{"made_by": "cellstrata", "format": 1, "began": "x", "work": [{}]}', "'peak_bytes'|'started'|missing"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(InputError, match=f"run.json.*({said})"):
        read_run_record(Place(str(file)))
    with pytest.raises(InputError, match="there is no such file"):
        read_run_record(Place(str(tmp_path / "none.json")))
