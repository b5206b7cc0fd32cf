"""A configuration made ready for this process: globs in it expanded, credentials taken out of its URLs.

What comes out is what the run works with and what provenance records; expanding it again changes nothing.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping

from cellstrata.configs.dataset import file_id
from cellstrata.configs.model import RunConfig
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.options import HTTP
from cellstrata.tasks.stores.store import StorageOptions, Store, is_local, local_path, protocol_of


def expand(config: RunConfig) -> tuple[RunConfig, list[str]]:
    """Return the configuration with its globs expanded and its URLs sealed, and what is wrong with them.

    In a path or list of paths a glob stands for one file each, named by its own path, as if it had been
    written; in `{file_id: path}` it must match exactly one. An output or cache is never a glob.
    """
    sealed, problems = Sealed(config.storage_options), list[str]()
    places = {name: sealed.url(url) for name in ("output_dir", "images", "cache", "read_cache")
              if (url := getattr(config, name)) is not None}  # fmt: skip
    written = {
        name: {file: (sealed.url(url), file == file_id(url)) for file, url in dataset.input.clustering.items()}
        for name, dataset in config.DATASETS.items()
    }
    earlier = {
        name: sealed.url(dataset.clustering.match)
        for name, dataset in config.DATASETS.items()
        if dataset.clustering.match is not None
    }
    options = sealed.options
    datasets = {}
    for name, dataset in config.DATASETS.items():
        files: Mapping[str, str] = {
            file_id(url) if derived else file: url for file, (url, derived) in written[name].items()
        }
        if name in config.selected:
            files, wrong = _expanded(name, written[name], options)
            problems += wrong
        changed: dict[str, object] = {"input": dataset.input.model_copy(update={"clustering": dict(files)})}
        if (match := earlier.get(name)) is not None:
            changed["clustering"] = dataset.clustering.model_copy(update={"match": match})
        datasets[name] = dataset.model_copy(update=changed)
    changes: dict[str, object] = {**places, "DATASETS": datasets, "storage_options": options}
    return config.model_copy(update=changes), problems


def _expanded(
    dataset: str, written: Mapping[str, tuple[str, bool]], options: StorageOptions
) -> tuple[dict[str, str], list[str]]:
    files: dict[str, str] = {}
    problems: list[str] = []
    for file, (url, derived) in written.items():
        name = dataset if derived else f"{dataset}/{file}"
        try:
            found = matches(url, options) if is_glob(url, options) else [url]
        except InputError as error:
            problems.append(f"{name}: {error}")
            continue
        if not found:
            problems.append(f"{name}: {url} matches no file; check the pattern, and that you may list its folder")
        elif not derived and len(found) > 1:
            problems.append(
                f"{name}: {url} matches {len(found)} files ({', '.join(found[:3])}, …), and a file id names one: "
                "give a list, or name each"
            )
        else:
            files |= {file_id(one) if derived else file: one for one in found}
    return files, problems


def is_glob(url: str, storage_options: StorageOptions | None = None) -> bool:
    """Tell whether a path or URL is a pattern: it holds `*`, `?` or `[`, and no file is called so.

    In an http URL `?` begins the query.
    """
    magic = "*[" if protocol_of(url) in HTTP else "*?["
    path = url.partition("?")[0] if protocol_of(url) in HTTP else url
    if not any(mark in path for mark in magic):
        return False
    return not (is_local(url) and os.path.exists(local_path(url)))


def matches(url: str, storage_options: StorageOptions | None = None) -> list[str]:
    """Return the files and zarr folders that a pattern matches, sorted, written as the pattern is.

    Raises
    ------
    InputError
        If the store cannot be asked.
    """
    if is_local(url):
        prefix = url[: url.index("://") + 3] if "://" in url else ""
        return sorted(prefix + path for path in glob.glob(os.path.expanduser(url[len(prefix) :]), recursive=True))
    store = Store.at(url, storage_options)
    try:
        found = [str(path) for path in store.fs.glob(store.root)]
    except Exception as error:
        raise InputError(url, "", f"cannot be looked for ({error})") from error
    head = url[: url.index("://") + 3]
    paths = [path if "://" in path else head + path.lstrip("/") for path in found]
    return sorted(path.rstrip("/") for path in paths)
