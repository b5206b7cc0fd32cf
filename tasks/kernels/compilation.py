"""Functions that numba compiles, once for an installation where its folder, or the user's, can be written.

What is compiled is kept beside the source or in the user's cache folder (numba's own rules, `NUMBA_CACHE_DIR` first).
Where neither can be written, each process compiles anew, which takes seconds and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cellstrata.tasks.imports.turns import IMPORTING

with IMPORTING:
    import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers on its first call, without Python's lock while it runs.

    Sums are taken in the order that is written (no `fastmath`), so results do not depend on the machine.
    """
    try:
        found: Any = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba finds no folder to keep it in
        found = numba.njit(nogil=True)(function)
    return found  # type: ignore[no-any-return]
