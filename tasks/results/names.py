"""Short names for results, from where they lie: `F` for `…/dataset~D/file_id~F.zarr`."""

from __future__ import annotations

from collections.abc import Sequence

from cellstrata.tasks.stores.store import absolute, real

MARKERS = "markers.parquet"  # in the folder of a result's labels
SUFFIXES = (".zarr.zip", ".zarr", ".h5ad", ".h5", ".zip")


def result_names(urls: Sequence[str]) -> list[str]:
    """Return a name for each URL: its file's, with as many of its folders' before it as tell it from others.

    The same place always gets the same name; different places never do.
    """
    parts = {real(url): _parts(url) for url in urls}
    named: dict[str, str] = {}
    for place, own in parts.items():
        others = [other for at, other in parts.items() if at != place]
        lengths = range(1, len(own) + 1)
        # Where no folder tells two apart, as in two buckets of one name, only a number can.
        length = next((k for k in lengths if all(own[-k:] != other[-k:] for other in others)), len(own))
        name = base = "-".join(own[-length:])
        number = 1
        while name in named.values():
            number += 1
            name = f"{base}-{number}"
        named[place] = name
    return [named[real(url)] for url in urls]


def _parts(url: str) -> list[str]:
    *folders, file = absolute(url).rpartition("://")[2].strip("/").split("/")
    suffix = next((suffix for suffix in SUFFIXES if file.endswith(suffix) and file != suffix), "")
    return [_value(part) for part in (*folders, file.removesuffix(suffix)) if part]


def _value(part: str) -> str:
    """Return what stands after `key~`, as Snakemake and our results name folders."""
    key, tilde, value = part.partition("~")
    return value if tilde and value and key.isidentifier() else part
