"""Where the earlier result of a file is, as the key `match` names it: itself, or the `output_dir` of its run."""

from __future__ import annotations

import numpy as np

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.inputs.checks import columns_of
from cellstrata.tasks.inputs.inspection import output_url
from cellstrata.tasks.matching.earlier import SharedCells, read_earlier, shared_cells
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import join


def find_earlier(
    place: Place, names: np.ndarray, settings: ClusteringConfig, dataset: str | None = None, file_id: str = ""
) -> SharedCells:
    """Read the earlier result and find its cells among those of data, whose names are (n,) texts.

    `dataset` and `file_id` tell which result of a run it is, where `place` is that run's `output_dir`.

    Raises
    ------
    InputError
        If there is none, it is not ours, or has no cell or no column in common with what is made.
    """
    if dataset is not None:
        place = _of_file(place, dataset, file_id)
    open_end = settings.hierarchy.until_stable or not settings.listed_resolutions
    made = None if open_end else columns_of(settings)
    return shared_cells(read_earlier(place), names, made)


def _of_file(place: Place, dataset: str, file_id: str) -> Place:
    """Return the place of a file's own result in the `output_dir` of a run, else the place as it is.

    Raises InputError where the folder has results, but not this one.
    """
    own = place.at(output_url(place.url, dataset, file_id))
    if own.store.exists():
        return own
    if place.at(join(place.url, "clustering")).store.exists() and not place.at(join(place.url, "obs")).store.exists():
        message = f"has no result of {dataset}/{file_id}: there is no {own.url}; name a result itself"
        raise InputError(place.url, "", message)
    return place
