"""A real S3 endpoint on loopback, for the tests that need one; it starts when the first of them does.

And what becomes of tests that need a GPU: see `tests.real_gpu`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.one_python import runs_once
from tests.real_gpu import pytest_runtest_setup  # noqa: F401
from tests.s3_server import SETTINGS, moto_server
from tests.tasks.slow_renewals import HeldUp

if TYPE_CHECKING:
    from tests.tasks.branches.planted import Rare

settings.register_profile("any machine", deadline=None)  # a busy one takes longer for the same
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on one Python alone: see `tests.one_python`."""
    for item in items:
        if runs_once(item.nodeid):
            item.add_marker(pytest.mark.once)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of moto's server."""
    pytest.importorskip("moto", reason="moto is not installed: pip install 'moto[server]'")
    with moto_server() as url:
        yield url


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of the test's own; credentials and endpoint come from the environment."""
    import s3fs

    for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": s3_endpoint}).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    s3fs.S3FileSystem.clear_instance_cache()  # one made before knows another endpoint
    bucket = f"lab-{uuid.uuid4().hex[:10]}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture
def proxy(s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the S3 endpoint that counts and injects faults; the bucket of `s3` is reached through it."""
    import s3fs

    from cellstrata.tasks.stores import retries

    with faulty_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        for name, value in (("PATIENCE", 3.0), ("FIRST_DELAY", 0.01), ("LONGEST_DELAY", 0.2)):
            monkeypatch.setattr(retries, name, value)
        retries.forget_said()
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> HeldUp:
    """Signs of life whose renewal is held up in the writing."""
    return HeldUp(monkeypatch)


@pytest.fixture(scope="session")
def planted() -> Rare:
    """Cells with a planted rare subtype."""
    from tests.tasks.branches.planted import rare_subtype

    return rare_subtype()


@pytest.fixture(scope="session")
def planted_file(planted: Rare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an h5ad file."""
    path = tmp_path_factory.mktemp("planted") / "cells.h5ad"
    planted.data.write_h5ad(path)
    return path
