"""What a run asks of a bucket: counted, so that a change that asks for more is seen.

What it asks of Prefect's server is counted in `tests/flows/test_cluster.py`, what it compares and allocates in
`tests/tasks/kernels`, what a worker imports in `tests/flows/executors`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faulty_proxy import FaultyProxy
from tests.flows.conftest import Run

TREES: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 3, "resolutions": [0.2, 1.0]}


def test_requests_to_a_cache_in_a_bucket(s3: str, proxy: FaultyProxy, one: Run, blobs: Path) -> None:
    places = {"cache": f"{s3}/cache", "grain": 300}
    asked = []
    for out in ("cold", "warm"):
        before = proxy.traffic.requests.total()
        report = one(blobs, TREES, out, **places)
        asked.append(proxy.traffic.requests.total() - before)
        assert bool(report["splits"]["executed"]) == (out == "cold")
    splits = report["splits"]["cached"]
    assert splits > 50
    assert asked[0] < 170, "1.8 for each split were asked, and what keeps a claim alive on a slow machine"
    assert asked[1] < 110, "1.2 for each split were asked"
