"""Where places lie: whether one is another, lies in it, or holds it. Symbolic links on a local disk are followed."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cellstrata.tasks.stores.urls import is_local, local_path


@dataclass(frozen=True)
class Location:
    """A place by its names: `names` is one URL in a bucket, and on a local disk two real paths.

    The first is where the path leads with all links followed. The second is where the path itself stands, with
    the links of its folders followed: what is written there replaces a link, and what it leads to stays.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Location:
        """Return the location of a URL or path; it need not exist."""
        if not is_local(url):
            return cls((url.rstrip("/"),))
        path = local_path(url)
        return cls((os.path.realpath(path), os.path.join(os.path.realpath(path.parent), path.name)))

    @property
    def stands(self) -> str:
        """Where the place itself stands: on a local disk a path that may be a link."""
        return self.names[-1]

    def within(self, folder: Location) -> bool:
        """Tell whether the place is `folder` or lies in it, by any of its names."""
        return any(f"{name}/".startswith(f"{other.rstrip('/')}/") for name in self.names for other in folder.names)

    def overlaps(self, other: Location) -> bool:
        """Tell whether the place is the other, lies in it or holds it."""
        return self.within(other) or other.within(self)


def lies_in(url: str, folder: str) -> bool:
    """Tell whether a place is `folder` or lies in it: URLs or paths, which need not exist."""
    return Location.of(url).within(Location.of(folder))


def overlap(url: str, other: str) -> bool:
    """Tell whether a place is another, lies in it or holds it: URLs or paths, which need not exist."""
    return Location.of(url).overlaps(Location.of(other))
