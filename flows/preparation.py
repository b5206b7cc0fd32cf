"""Before any work starts: every input of every dataset is opened and checked, all problems together."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cellstrata.configs.errors import at_most
from cellstrata.configs.model import RunConfig
from cellstrata.flows.credentials import BlockProblem, literal_problems, with_blocks
from cellstrata.flows.executors.registry import gpu_of_run, runner_problem
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.inputs.expansion import expand
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.inputs.overlaps import conflicts
from cellstrata.tasks.kernels.engines import EngineUnavailable
from cellstrata.tasks.kernels.placement import placement_of
from cellstrata.tasks.publishing.link_mode import link_problem
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.retries import forget_said
from cellstrata.tasks.stores.store import Store, is_local
from cellstrata.tasks.stores.urls import place_of
from cellstrata.tasks.stores.write_access import unusable

STAY_OPEN = 8  # inputs in buckets, until their turn comes; what is kept of each takes memory

_inspected: dict[tuple[str, str], Input] = {}  # by configuration and name, until its flow takes it
_writable: set[tuple[str, str]] = set()  # by configuration and URL, until the run ends
_lock = threading.Lock()


class UnusableInputs(ValueError):
    """What the user asks for cannot be done; the message says all that is wrong, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        return "\n".join(at_most(self.problems))


def ready(config: RunConfig, stored: bool = False) -> RunConfig:
    """Return the configuration as this process works with it: globs expanded, credentials at hand and out of sight.

    `stored` says that it was kept by a Prefect server, where no literal secret may be. Doing it twice
    changes nothing.

    Raises
    ------
    UnusableInputs
        If a glob matches nothing, a block cannot be had, or a secret is where it must not be.
    """
    if stored and (problems := literal_problems(config)):
        raise UnusableInputs(problems)
    try:
        config = config.model_copy(update={"storage_options": with_blocks(config.storage_options)})
    except BlockProblem as error:
        raise UnusableInputs([str(error)]) from error
    expanded, problems = expand(config)
    if problems:
        raise UnusableInputs(problems)
    return expanded


def open_cache(config: RunConfig) -> Cache:
    """Open the cache of a run, and that which is only read behind it."""
    behind = Store.at(config.read_cache, config.storage_options) if config.read_cache else None
    return Cache(Store.at(config.cache_url, config.storage_options), behind)


def prepare(config: RunConfig, on_input: Callable[[str], None] = lambda name: None) -> dict[str, Input]:
    """Inspect every input, and keep what was found for the flows of this process.

    Returns the inputs by `dataset/file id`, in the file's order. An input that has been inspected
    for this configuration, and not been used since, is not read again.

    Raises
    ------
    UnusableInputs
        With everything that is wrong in all of them.
    """
    problems = [*unavailable(config), *conflicts(config)]
    found: dict[str, Input] = {}
    if not problems:
        for dataset, settings in config.selected.items():
            for file_id in settings.input.clustering:
                on_input(f"{dataset}/{file_id}")
                try:
                    inspected = found[f"{dataset}/{file_id}"] = _inspect(config, dataset, file_id)
                    if len(found) > STAY_OPEN:
                        inspected.opened.close()
                except UnusableInputs as error:
                    problems += error.problems
                except StoreError as error:
                    if not error.lasting:
                        raise
                    problems.append(f"{dataset}/{file_id}: {error}")
    if problems:
        raise UnusableInputs(problems)
    return found


def take_input(config: RunConfig, dataset: str, file_id: str) -> Input:
    """Return an inspected input to the flow that uses it, inspecting it if that has not been done.

    Raises
    ------
    UnusableInputs
        With everything that is wrong in it.
    """
    found = _inspect(config, dataset, file_id)
    with _lock:
        _inspected.pop((_key(config), found.name), None)
    return found


def forget(config: RunConfig) -> None:
    """Forget what was inspected for a run that has ended: its inputs may change before the next."""
    with _lock:
        for name in [name for name in _inspected if name[0] == _key(config)]:
            _inspected.pop(name, None)
        _writable.clear()
    forget_said()


def _inspect(config: RunConfig, dataset: str, file_id: str) -> Input:
    name = (_key(config), f"{dataset}/{file_id}")
    if name not in _inspected:
        settings = config.DATASETS[dataset]
        found, problems = inspect_input(
            dataset, file_id, Place(settings.input.clustering[file_id], config.storage_options), settings.clustering,
            config.output_dir, open_cache(config), rehash=config.rehash,
        )  # fmt: skip
        if found is not None and (problem := _unlinkable(config, found)):
            found, problems = None, [f"{dataset}/{file_id}: {problem}"]
        if found is None:
            raise UnusableInputs(problems)
        with _lock:
            _inspected[name] = found
    return _inspected[name]


def _unlinkable(config: RunConfig, found: Input) -> str | None:
    return link_problem(found.opened, found.opened.place.at(found.output), config.link)


def unavailable(config: RunConfig, output: str = "output_dir", *, devices: bool = True) -> list[str]:
    """Say what the configuration may ask for and this version or machine does not have.

    `output` is what messages call the place of the result. `devices` is False where the run's executor
    is yet to look for GPUs, in the process that is to own them.
    """
    place = config.output_dir
    if output != "output_dir" and not is_local(place) and place != place_of(place):  # OUTPUT itself is a zarr
        place = place.rstrip("/").rpartition("/")[0]
    problems = [
        f"{name}: {problem}; name another place"
        for name, url in ((output, place), ("cache", config.cache_url))
        if (problem := _unusable(config, url))
    ]
    if problem := runner_problem(config.runner):
        problems.append(problem)
    for dataset, settings in config.selected.items() if devices else ():
        try:
            placement_of(settings.clustering, config.gpu_for(dataset), gpu_of_run(config.runner))
        except EngineUnavailable as error:
            problems.append(f"DATASETS.{dataset}.clustering: {error}")
    return problems


def _unusable(config: RunConfig, url: str) -> str | None:
    """Say why a place cannot be written to, asking it once a run."""
    asked = (_key(config), url)
    if asked in _writable:
        return None
    problem = unusable(Place(url, config.storage_options))
    if problem is None:
        _writable.add(asked)
    return problem


def _key(config: RunConfig) -> str:
    return config.model_dump_json()
