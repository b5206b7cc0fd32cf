"""Writing a page where it belongs, unless exactly this one stands there already."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.report.documents import assets_digest
from cellstrata.tasks.report.index import IndexRow, index_page
from cellstrata.tasks.report.page import page
from cellstrata.tasks.report.subject import RunFacts, subject_of
from cellstrata.tasks.results.result import Finished
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.store import StorageOptions, Store, absolute, join

NAME = "report.html"
CONTENT = 4  # counts up when the same result is told otherwise
HEAD = 4096  # bytes within which a page tells its key
_KEY = re.compile(rb'<meta name="cellstrata-key" content="([0-9a-zA-Z:_-]*)">')


@dataclass(frozen=True, kw_only=True)
class WrittenPage:
    """A page: its address, and whether it was written just now; or, without either, why there is none (`problem`)."""

    url: str | None = None
    written: bool | None = None
    problem: str | None = None


def report_url(images: str, dataset: str, file_id: str) -> str:
    """Return where the report of a file goes, among its figures."""
    return join(absolute(images), "clustering", f"dataset~{dataset}", f"file_id~{file_id}", NAME)


def write_report(
    finished: Finished, run: RunFacts, images: str, cache: Cache, storage_options: StorageOptions
) -> WrittenPage:
    """Write the report of a published result; never fails.

    What stands there stays if it was made of the same result and by the same version, whatever the run took.
    """
    try:
        url = report_url(images, finished.source.dataset, finished.source.file_id)
        key = digest_values(
            kind="report", content=CONTENT, result=finished.key(), assets=assets_digest(), notices=list(run.notices),
            **({"markers": run.markers.key} if run.markers else {}),
        )  # fmt: skip
        if written_key(url, storage_options) == key:
            return WrittenPage(url=url, written=False)
        Store.at(url, storage_options).write("", page(subject_of(finished, run, cache), key))
    except Exception as error:  # the result stands, and says all that the report would
        return WrittenPage(problem=f"no report was written: {type(error).__name__}: {error}")
    return WrittenPage(url=url, written=True)


def write_index(entries: list[IndexRow], images: str, storage_options: StorageOptions) -> WrittenPage:
    """Write the index of a run, `index.html` beside the figures; never fails."""
    try:
        url = join(absolute(images), "index.html")
        key = digest_values(kind="index", assets=assets_digest(), entries=[entry.identity() for entry in entries])
        if written_key(url, storage_options) == key:
            return WrittenPage(url=url, written=False)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        Store.at(url, storage_options).write("", index_page(entries, absolute(images), made, key))
    except Exception as error:
        return WrittenPage(problem=f"no index of the reports was written: {type(error).__name__}: {error}")
    return WrittenPage(url=url, written=True)


def written_key(url: str, storage_options: StorageOptions) -> str | None:
    """Return the key of the page that stands at an address, None if there is none; only its head is read."""
    try:
        with Store.at(url, storage_options).open() as file:
            found = _KEY.search(file.read(HEAD))
    except (OSError, ValueError):
        return None
    return found.group(1).decode() if found else None
