"""What to install where the package that speaks to a kind of store is not there."""

from __future__ import annotations

from cellstrata.tasks.stores.urls import protocol_of

# By protocol: the package, and the extra of cellstrata that brings it.
EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "adl": ("adlfs", "azure"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}


def missing_package(url: str, error: BaseException) -> str | None:
    """Say which package a place needs and how to install it; None where that is not what an error is about."""
    found: ImportError | None = None
    link: BaseException | None = error
    while link is not None:  # the innermost names the module
        found = link if isinstance(link, ImportError) else found
        link = link.__cause__ or link.__context__
    if found is None:
        return None
    package, extra = EXTRAS.get(protocol_of(url), ("", ""))
    if not package:
        return f"needs a package that is not installed ({found})"
    there = found.name is not None and found.name.partition(".")[0] != package
    why = f"which cannot be imported ({found})" if there else "which is not installed"
    return f"needs {package}, {why}: pip install 'cellstrata[{extra}]'"
