"""Before any work starts: every input of every dataset is opened and checked, all problems together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.errors import at_most
from cellstrata.configs.model import RunConfig
from cellstrata.flows.credentials import BlockProblem, literal_problems, with_blocks
from cellstrata.flows.executors.registry import runner_problem
from cellstrata.flows.run import Run
from cellstrata.tasks.branches.checks import child_markers_problem, embedding_notices, expression_problems
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.elements.reading import obs_names
from cellstrata.tasks.inputs.expansion import expand
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.inputs.overlaps import conflicts
from cellstrata.tasks.kernels.engines import EngineUnavailable
from cellstrata.tasks.matching.earlier import SharedCells
from cellstrata.tasks.matching.place import find_earlier
from cellstrata.tasks.publishing.link_mode import link_problem
from cellstrata.tasks.results.dataset_markers import markers_problem
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import is_local
from cellstrata.tasks.stores.urls import place_of
from cellstrata.tasks.stores.write_access import unusable
from cellstrata.tasks.trees.placement import placement_of

STAY_OPEN = 8  # inputs in buckets, until their turn comes; what is kept of each takes memory


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


def prepare(run: Run, on_input: Callable[[str], None] = lambda name: None) -> dict[str, Input]:
    """Inspect every input, and keep what was found for the flows of the run.

    Returns the inputs by `dataset/file id`, in the file's order. An input that has been inspected
    in this run, and not been used since, is not read again.

    Raises
    ------
    UnusableInputs
        With everything that is wrong in all of them.
    """
    config = run.config
    problems = [*unavailable(run), *conflicts(config)]
    found: dict[str, Input] = {}
    if not problems:
        for dataset, settings in config.selected.items():
            for file_id in settings.input.clustering:
                on_input(f"{dataset}/{file_id}")
                try:
                    inspected = found[f"{dataset}/{file_id}"] = _inspect(run, dataset, file_id)
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


def take_input(run: Run, dataset: str, file_id: str) -> Input:
    """Return an inspected input to the flow that uses it, inspecting it if that has not been done.

    Raises
    ------
    UnusableInputs
        With everything that is wrong in it.
    """
    found = _inspect(run, dataset, file_id)
    with run.lock:
        run.inputs.pop(found.name, None)
    return found


def take_earlier(run: Run, name: str) -> SharedCells | None:
    """Return the result after which the clusters of an input are numbered, once the input was taken; None without."""
    with run.lock:
        return run.earlier.pop(name, None)


def _inspect(run: Run, dataset: str, file_id: str) -> Input:
    config, name = run.config, f"{dataset}/{file_id}"
    found = run.inputs.get(name)
    if found is None:
        run.hold_cache()
        settings = config.DATASETS[dataset]
        found, problems = inspect_input(
            dataset, file_id, Place(settings.input.clustering[file_id], config.storage_options), settings.clustering,
            config.output_dir, run.open_cache(), rehash=config.rehash,
        )  # fmt: skip
        if found is not None and (problem := _unlinkable(config, found)):
            found, problems = None, [f"{dataset}/{file_id}: {problem}"]
        if found is not None and (problems := _expression_problems(found, settings.clustering)):
            found = None
        if found is None:
            raise UnusableInputs(problems)
        notices = [*embedding_notices(found, settings.clustering), *_earlier(run, found, settings.clustering)]
        found = replace(found, notices=(*found.notices, *notices)) if notices else found
        with run.lock:
            run.inputs[name] = found
    return found


def _earlier(run: Run, found: Input, settings: ClusteringConfig) -> tuple[str, ...]:
    """Read the result after which an input's clusters are numbered, where one is named; returns what is to be known.

    It is read before anything is written: it may be the one that the run replaces. Raises UnusableInputs.
    """
    if settings.match is None:
        return ()
    place = Place(settings.match, run.config.storage_options)
    try:
        with found.opened.root() as root:
            names = obs_names(root)
        earlier = find_earlier(place, names, settings, found.dataset, found.file_id)
    except DataError as error:
        raise UnusableInputs([f"{found.name}: match: {error}"]) from error
    with run.lock:
        run.earlier[found.name] = earlier
    return earlier.notices


def _expression_problems(found: Input, settings: ClusteringConfig) -> list[str]:
    """Say what is wrong with the expression that embeddings, markers and rules need, each problem once."""
    problems = expression_problems(found, settings)
    if settings.markers is not None and (problem := markers_problem(found, settings.markers)):
        problems.append(problem)
    if problem := child_markers_problem(found, settings):
        problems.append(problem)
    return problems


def _unlinkable(config: RunConfig, found: Input) -> str | None:
    return link_problem(found.opened, found.opened.place.at(found.output), config.link)


def unavailable(run: Run, output: str = "output_dir", *, devices: bool = True) -> list[str]:
    """Say what the configuration may ask for and this version or machine does not have.

    `output` is what messages call the place of the result. `devices` is False where the run's executor
    is yet to look for GPUs, in the process that is to own them.
    """
    config = run.config
    place = config.output_dir
    if output != "output_dir" and not is_local(place) and place != place_of(place):  # OUTPUT itself is a zarr
        place = place.rstrip("/").rpartition("/")[0]
    problems = [
        f"{name}: {problem}; name another place"
        for name, url in ((output, place), ("cache", config.cache_url))
        if (problem := _unusable(run, url))
    ]
    if problem := runner_problem(config.runner):
        problems.append(problem)
    for dataset, settings in config.selected.items() if devices else ():
        try:
            placement_of(settings.clustering, config.gpu_for(dataset), run.gpu)
        except EngineUnavailable as error:
            problems.append(f"DATASETS.{dataset}.clustering: {error}")
    return problems


def _unusable(run: Run, url: str) -> str | None:
    """Say why a place cannot be written to, asking it once a run."""
    if url in run.writable:
        return None
    problem = unusable(Place(url, run.config.storage_options))
    if problem is None:
        run.writable.add(url)
    return problem
