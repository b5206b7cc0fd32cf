"""Executors: a worker that dies, one that never can, stopping, and what a worker imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

from cellstrata.flows.executors.executor import Settings, Stopped, WorkerDied
from cellstrata.flows.executors.processes import Processes
from cellstrata.flows.executors.registry import open_executor
from cellstrata.flows.executors.threads import Threads
from tests import ROOT


def die_once(marker: str) -> str:
    if not os.path.exists(marker):
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pid() -> int:
    return os.getpid()


def imported(name: str) -> bool:
    return name in sys.modules


def test_workers_of_a_run_that_prefect_s_worker_started_do_not_import_prefect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", find_spec("prefect.engine"))
    pool = Processes(Settings())
    try:
        assert pool.run(imported, "cellstrata.tasks.workers.process")
        assert not pool.run(imported, "prefect")
    finally:
        pool.close()


def test_a_worker_that_dies_costs_a_retry(tmp_path: Path) -> None:
    pool = Processes(Settings(cpus=2))
    try:
        assert pool.run(die_once, str(tmp_path / "marker")) == "done"
        assert pool.run(pid) != os.getpid()
    finally:
        pool.close()


def test_a_worker_that_always_dies_is_reported_and_others_go_on() -> None:
    pool = Processes(Settings())
    try:
        with pytest.raises(WorkerDied, match="memory"):
            pool.run(die)
        assert pool.run(pid) != os.getpid()
        with pytest.raises(WorkerDied):
            pool.run_apart(die)
    finally:
        pool.close()


def short_of_memory(marker: str) -> str:
    if not os.path.exists(marker):
        Path(marker).touch()
        raise MemoryError
    return "done"


def test_without_memory_it_is_tried_again(tmp_path: Path) -> None:
    pool = Processes(Settings())
    try:
        assert pool.run(short_of_memory, str(tmp_path / "marker")) == "done"
        assert pool.run_apart(short_of_memory, str(tmp_path / "other")) == "done"
    finally:
        pool.close()


def test_only_who_kills_workers_is_blamed_and_its_retry_is_alone(tmp_path: Path) -> None:
    """Others whose worker it takes along succeed; nothing is under way when it is tried again."""
    running, deaths = tmp_path / "running", tmp_path / "deaths"
    running.mkdir()
    deaths.mkdir()
    pool = Processes(Settings(cpus=3))
    try:
        with ThreadPoolExecutor(5) as threads:
            asked = [
                threads.submit(pool.run, kill_noting, str(running), str(deaths), f"bad{number}")
                if number % 4 == 1
                else threads.submit(pool.run, work_noting, str(running), f"good{number}")
                for number in range(12)
            ]
            outcomes = [one.exception() for one in asked]
    finally:
        pool.close()
    assert [isinstance(outcome, WorkerDied) for outcome in outcomes] == [number % 4 == 1 for number in range(12)]
    assert [outcome for outcome in outcomes if not isinstance(outcome, WorkerDied)] == [None] * 9
    for bad in (1, 5, 9):
        beside = (deaths / f"bad{bad}").read_text().split()
        assert len(beside) <= 2
        assert beside[-1] == "0"


def work_noting(running: str, name: str) -> None:
    own = Path(running, f"{name}-{os.getpid()}")
    own.touch()
    time.sleep(0.15)
    own.unlink()


def kill_noting(running: str, deaths: str, name: str) -> None:
    """Note how many others are at work whose process lives, and die."""
    time.sleep(0.05)
    with Path(deaths, name).open("a") as file:
        file.write(f"{sum(alive(int(name.split('-')[1])) for name in os.listdir(running))} ")
    os.kill(os.getpid(), signal.SIGKILL)


def test_stopping_frees_whoever_waits() -> None:
    pool, caught = Processes(Settings()), []

    def wait() -> None:
        try:
            pool.run(time.sleep, 60)
        except Stopped as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not getattr(pool._pool, "_processes", None):
        time.sleep(0.05)
    time.sleep(0.2)
    started = time.monotonic()
    pool.stop()
    thread.join(50)
    assert caught
    assert time.monotonic() - started < 40  # not the 60 of the call


def test_an_executor_is_what_was_asked_for_also_beside_another() -> None:
    with open_executor(Settings("threads")) as first, open_executor(Settings("processes", cpus=4)) as second:
        assert isinstance(first, Threads)
        assert isinstance(second, Processes)
        assert second.run(pid) != os.getpid() == first.run(pid)


def test_a_worker_ends_when_its_run_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from cellstrata.flows.executors.executor import Settings\n"
        "from cellstrata.flows.executors.processes import Processes\n"
        "if __name__ == '__main__':\n"
        "    import os\n"
        "    pool = Processes(Settings())\n"
        "    print(pool.run(os.getpid), flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "run.py"
    path.write_text(script)
    root = str(ROOT)
    with subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        if not alive(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its run")


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_a_worker_that_splits_imports_neither_prefect_nor_scanpy(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from cellstrata.tasks.workers.process import start_worker\n"
        "from cellstrata.tasks.workers.remote import call\n"
        "from cellstrata.tasks.trees.jobs import run_job\n"
        "from cellstrata.tasks.kernels.knn import nearest_neighbors\n"
        "from cellstrata.tasks.kernels.connectivities import connectivities\n"
        "from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine\n"
        "from cellstrata.tasks.kernels.partition import partition\n"
        "graph = connectivities(nearest_neighbors(np.random.default_rng(0).normal(size=(60, 3)).astype('f4'), 5))\n"
        "partition(graph, PartitionSpec('leiden', 1.0), load_engine('igraph'))\n"
        "partition(graph, PartitionSpec('leiden', 1.0), load_engine('leidenalg'))\n"
        "heavy = {'prefect', 'scanpy', 'umap', 'matplotlib', 'anndata', 'zarr', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_more_threads_than_workers_compute_at_once() -> None:
    threads, lock, running, most = Threads(Settings(cpus=2)), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(threads.run, work) for _ in range(12)]:
            done.result()
    assert most == 2


@pytest.mark.parametrize(("engine", "imported"), [(None, False), ("cellstrata", False), ("igraph", True)])
def test_threads_import_igraph_where_it_is_asked_for(engine: str | None, imported: bool) -> None:
    clustering = {"algorithm": "leiden", "resolutions": [0.5]} | ({"engine": engine} if engine else {})
    document = {"output_dir": "out", "runner": "threads",
                "DATASETS": {"d": {"input": {"clustering": "x.h5ad"}, "clustering": clustering}}}  # fmt: skip
    code = f"""
    import sys
    from cellstrata.configs.model import RunConfig
    from cellstrata.flows.executors.executor import Settings
    from cellstrata.flows.executors.threads import Threads
    Threads(Settings.of(RunConfig(**{document!r})))
    print("igraph" in sys.modules)
    """
    found = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(imported)]
