"""Work that kills its worker, as the kernel does when memory runs out; imported by the worker itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cellstrata.tasks.trees.jobs

_run_job = cellstrata.tasks.trees.jobs.run_job


def run_job(job: cellstrata.tasks.trees.jobs.Job) -> cellstrata.tasks.trees.jobs.JobReport:
    """Split, but for the cluster that `KILLS_AT` names: note that in the file `KILLS_NOTED`, and die."""
    if f"{job.plan.name} {job.nodes[0].path}" == os.environ["KILLS_AT"]:
        with Path(os.environ["KILLS_NOTED"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return _run_job(job)
