"""Where figures go and what they are called: the ancestor's layout, with names that every file system takes."""

from __future__ import annotations

import re

from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.store import absolute, join

_UNFIT = re.compile(r'[\x00-\x1f/\\:*?"<>|]')
LONGEST = 100  # bytes, well below what file systems take


def figures_url(images: str, dataset: str, file_id: str) -> str:
    """Return the folder of a file's figures."""
    return join(absolute(images), "clustering", f"dataset~{dataset}", f"file_id~{file_id}")


def file_name(name: str) -> str:
    """Return a column's or gene's name as part of a file's, the same for no two names.

    What no file may be called (`CD4/CD8`) is replaced by `_`, and a few characters of the name's digest
    are put behind it.
    """
    fit = _UNFIT.sub("_", name).strip()
    if fit.startswith("."):
        fit = f"_{fit[1:]}"
    short = fit.encode()[:LONGEST].decode(errors="ignore")
    return name if short == name else f"{short}~{digest_values(name=name)[:6]}"
