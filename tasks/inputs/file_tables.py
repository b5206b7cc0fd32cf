"""`input_files.tsv` and `output_files.tsv`: which files a run takes and makes, as the ancestor writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.stores.store import Store, join


def write_file_tables(config: RunConfig) -> None:
    """Write both tables to `{output_dir}/clustering`, a row for each file of each dataset.

    The columns are `dataset`, `file_id`, `file_path`, and `out_file_id` for outputs; paths stand as in
    the configuration. Datasets that `defaults.datasets` leaves out are listed too.
    """
    files = [
        (dataset, file_id, url)
        for dataset, settings in config.DATASETS.items()
        for file_id, url in settings.input.clustering.items()
    ]
    made = join(config.output_dir, "clustering")
    outputs = [
        (dataset, file_id, f"clustering:{file_id}", join(made, f"dataset~{dataset}", f"file_id~{file_id}.zarr"))
        for dataset, file_id, _ in files
    ]
    store = Store.at(made, config.storage_options)
    store.write("input_files.tsv", _table(("dataset", "file_id", "file_path"), files))
    store.write("output_files.tsv", _table(("dataset", "file_id", "out_file_id", "file_path"), outputs))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    """Write rows separated by tabs, quoted where a value holds a tab, a quote or a line break."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()
