"""Whether a file that is asked for can be written where it is asked for, found out before work starts."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.configs.errors import listed
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.write_access import unusable


def cannot_be_written(
    place: Place, endings: Sequence[str], *, sources: Sequence[str] = (), overwrite: bool | None = False
) -> str | None:
    """Say why a file cannot be written to a place and what to do, None where nothing speaks against it.

    Its name must have one of `endings`; it may not be one of `sources`, lie in one or hold one. A file that is there
    is in the way unless it may be overwritten; `overwrite` is None where nobody can say that it may.
    """
    url = place.url
    if not url.endswith(tuple(endings)):
        return f"{url}: must end in {listed(list(endings), len(endings), ' or ')}, which says what is written"
    read = next((source for source in sources if overlap(source, url)), None)
    if read is not None:
        return f"{url}: is {read}, which is read, lies in it or holds it; choose another name"
    if place.store.exists():
        if not place.store.is_file():
            return f"{url}: exists and is no file, so it is left alone; choose another name"
        if not overwrite:
            return f"{url}: exists; choose another name{', or replace it with --overwrite' * (overwrite is not None)}"
    if place.is_local and (problem := unusable(place.at(f"{url}.part"))):  # it is made beside its place
        return f"{url}: cannot be written, {problem}; choose another place"
    return None
