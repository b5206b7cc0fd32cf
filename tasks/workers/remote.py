"""What a worker on another machine does for a run: tell what it is, look for the cache, call a function.

Arguments travel as bytes, so that whatever they hold (the options of a store, say) stands in no log
and on no dashboard of the cluster.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cellstrata
from cellstrata.configs.cpus import usable_cpus
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.store import Store

Facts = dict[str, str]
NOT_INSTALLED = "not installed"
# What can change a label, or what a key means; faiss has several distributions of the same module.
PACKAGES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("igraph", "leidenalg", "sc-cluster-libreville", "numpy")
}
PACKAGES |= {"faiss": ("faiss-cpu", "faiss-gpu", "faiss")}


class UnfitWorker(RuntimeError):
    """A worker that has other versions than the run: it would compute something else."""


@cache
def _facts() -> Facts:
    found = {name: installed_version(*distributions) or NOT_INSTALLED for name, distributions in PACKAGES.items()}
    own = f"{installed_version('cellstrata') or NOT_INSTALLED} (code {code_digest()})"
    return {"cellstrata": own, "python": "{}.{}".format(*sys.version_info)} | found


def facts() -> Facts:
    """Return what must be the same wherever a run computes: versions, by the package's name."""
    return dict(_facts())


def differences(own: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Say in which versions a worker differs from this process, each with both of them."""
    return [
        f"{name} {others.get(name, NOT_INSTALLED)}, here {version}"
        for name, version in own.items()
        if others.get(name) != version and version != NOT_INSTALLED
    ]


@cache
def code_digest() -> str:
    """Return 8 hexadecimal digits that tell the code of two installations apart, whatever they are called."""
    return digest_of_code(Path(cellstrata.__file__).parent)


def digest_of_code(root: Path) -> str:
    """Return 8 hexadecimal digits of all that workers may import below the package's folder `root`.

    Raises
    ------
    FileNotFoundError
        If there is nothing there: an empty digest would make any two installations equal.
    """
    files = sorted(path for package in ("configs", "tasks") for path in (root / package).rglob("*.py"))
    if not files:
        raise FileNotFoundError(f"no code of cellstrata in {root}")
    return digest_values(code=[[path.relative_to(root).as_posix(), path.read_text("utf-8")] for path in files])[:8]


def usable_threads() -> int:
    """Return how many CPUs the process of this worker may use."""
    return usable_cpus()


def packed(expected: Mapping[str, str], function: object, arguments: tuple[object, ...]) -> bytes:
    """Pack a call for `call`, with the versions that its worker must have."""
    return pickle.dumps((dict(expected), function, arguments))


def call(packed_call: bytes) -> Any:
    """Call a function in a worker.

    Raises
    ------
    UnfitWorker
        If this worker, which may have come late, is not like the run's own process.
    """
    expected, function, arguments = pickle.loads(packed_call)
    if wrong := differences(expected, _facts()):
        raise UnfitWorker("; ".join(wrong))
    try:
        return function(*arguments)
    except Exception as error:  # Dask sends its causes too, and not every library's can be unpickled
        error.__cause__ = error.__context__ = None
        raise


def cannot_see(packed_look: bytes) -> str | None:
    """Look for what the run has left in its cache for this purpose; say what is wrong if it is not there.

    `packed_look` are the pickled cache, the marker's name and content, and the names in the cache behind.
    """
    cache_, name, content, behind = pickle.loads(packed_look)
    try:
        if cache_.store.read(name) != content:
            return "another folder is there"
        if cache_.behind is not None and top_of(cache_.behind) != behind:
            return f"the read_cache {cache_.behind.url} is not there, or is another one"
    except FileNotFoundError:
        return "it is not there"
    except Exception as error:  # no credentials, no route, no package for this protocol
        return f"{type(error).__name__}: {error}"
    return None


def look_for(cache: Cache, name: str, content: bytes) -> bytes:
    """Pack what `cannot_see` needs."""
    return pickle.dumps((cache, name, content, None if cache.behind is None else top_of(cache.behind)))


def top_of(store: Store) -> list[str]:
    """Return the names of what a cache holds at its top, whatever runs do there now."""
    return [name for name in store.list("v1") if name in ("arrays", "records")]
