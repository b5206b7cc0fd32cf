"""Silence, narrowly, the warnings of zarr and anndata that a user can do nothing about.

zarr-developers/zarr-python#2556 (merged) brought those on what its format 3 does not specify yet; each message can
go when the oldest zarr or anndata that we allow does not give it. That threads undo each other's filters is
python/cpython#128384 (closed): with Python 3.14 as the oldest, and its flag context_aware_warnings, this can be
`warnings.catch_warnings`.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

_MESSAGES = (
    r"(?s).*Consolidated metadata is currently not part",
    r"(?s).*does not have a Zarr V3 specification",
    r"zarr v3 autosharding will be the default",
    r"Writing zarr v2 data will no longer be the default",
    r"Automatic shard shape inference is experimental",
    r"Missing 'endian' for structured dtype",
    r"(?s).*was written without encoding metadata",
    r"(?s).*was written with a very old version of AnnData",
    r"The 'future\.infer_string' option is deprecated",
    r"(?s).*zero-centering a sparse (array|matrix)",
)
_lock = threading.Lock()
_depth = 0
_added: list[object] = []


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the known warnings within the block; may be nested and entered by several threads.

    `warnings.catch_warnings` restores a snapshot, with which threads undo each other's filters; this
    adds its own entries with the first block and removes just those after the last.
    """
    global _depth
    with _lock:
        _depth += 1
        if _depth == 1:
            before = list(warnings.filters)
            for message in _MESSAGES:
                warnings.filterwarnings("ignore", message=message)
            _added[:] = [f for f in warnings.filters if f not in before]
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for entry in _added:
                    with contextlib.suppress(ValueError):
                        warnings.filters.remove(entry)  # type: ignore[attr-defined]
