"""What the driver asks of whoever runs its work: Prefect in a flow, plain threads in a call from a notebook."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from cellstrata.flows.executors.executor import ClusterLost, Stopped, WorkerDied
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.data_errors import DataError
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.trees.jobs import Job
from cellstrata.tasks.trees.split_markers import UntoldSplit
from cellstrata.tasks.trees.tree import Pending


class Submitted(Protocol):
    """A piece of work that was submitted."""

    @property
    def from_cache(self) -> bool:
        """Whether it was found and not done; known when it has ended."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Have a function called with this when it has ended, in any thread."""

    async def failure(self) -> BaseException | str | None:
        """Return why it failed, None where it did not; to be asked when it has ended."""

    def result(self) -> Any:
        """Return what it came to: of jobs the JSON values of the report of each, of a derivation the embeddings."""


T = TypeVar("T")
Where = Literal["pool", "apart", "here"]  # `apart` is a process of its own, for what imports scanpy
# Its name, what is to be done, and after what it comes. Several jobs go together where the cache has each of them.
Submit = Callable[[str, Sequence[Job], Sequence[Submitted]], Submitted]
Derive = Callable[[str, Sequence[Pending]], Submitted]
Tell = Callable[[str, Sequence[UntoldSplit]], Submitted]


class Steps(Protocol):
    """Who runs the steps of a dataset: as Prefect's tasks, or as they are."""

    async def run(
        self,
        name: str,
        where: Where,
        function: Callable[..., T],
        *arguments: object,
        find: Callable[..., T | None] | None = None,
    ) -> T:
        """Run a step and return its result; `find`, called with the same arguments, may have it at hand."""

    async def splitting(self, cache: Cache, *, refresh: bool) -> Submit:
        """Return what submits jobs; whatever the cache has of them is found, unless `refresh`."""

    def submit_apart(
        self,
        name: str,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        find: Callable[..., T | None] | None = None,
    ) -> Submitted:
        """Submit a step that is not waited for."""


RETRY_DELAYS = (1.0, 4.0)  # seconds, before each further attempt


def may_pass(error: object) -> bool:
    """Tell whether a store may do better the next time; not so a wrong input, a full disk or a lost worker."""
    return (
        isinstance(error, (OSError, TimeoutError))
        and not isinstance(error, (DataError, FileNotFoundError, PermissionError))
        and not isinstance(error, (Stopped, WorkerDied, StoreError))  # a store's have been tried for a minute
        and getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    )


def reason_of(failure: BaseException | str) -> str:
    """Return why a piece of work failed. Raises ClusterLost, after which nothing else can be done either."""
    if isinstance(failure, ClusterLost):
        raise failure
    return failure if isinstance(failure, str) else f"{type(failure).__name__}: {failure}"
