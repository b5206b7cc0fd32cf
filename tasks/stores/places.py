"""A place as it is handed from function to function: its URL, and what is needed to reach it and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.stores.urls import StorageOptions, absolute, is_local, join


@dataclass(frozen=True)
class Place:
    """A file, folder or bucket prefix at `url`.

    `options` are storage options by protocol, those of other protocols too: a result may refer to its input in
    another store. They may hold secrets, and are never shown. Picklable, so that a worker can open the same place.
    """

    url: str
    options: StorageOptions = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", absolute(self.url))

    def __hash__(self) -> int:
        return hash(self.url)

    def __getstate__(self) -> Mapping[str, object]:
        return {"url": self.url, "options": self.options}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return self.url

    def at(self, url: str) -> Place:
        """Return another place that is reached with the same options."""
        return Place(url, self.options)

    def below(self, *parts: str) -> Place:
        """Return a place within this one."""
        return self.at(join(self.url, *parts))

    @property
    def is_local(self) -> bool:
        """True on a local disk."""
        return is_local(self.url)

    @cached_property
    def store(self) -> Store:
        """The store at this place; nothing is asked of it yet."""
        return Store.at(self.url, self.options)
