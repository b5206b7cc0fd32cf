"""cellstrata: cluster single-cell atlases at many resolutions and many levels of sub-clustering.

The names below are what programs use. Each is loaded when it is first asked for, so `import cellstrata`
costs next to nothing.

`configs` says what is asked for, `tasks` what one step does, `flows` in which order and where. Each imports
only what stands left of it. The three folders are at the top of the repository; here they are linked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellstrata.configs.errors import ConfigError
    from cellstrata.configs.loading.load import load_config
    from cellstrata.configs.model import RunConfig
    from cellstrata.flows.driver import SplitFailed
    from cellstrata.flows.executors.executor import RunnerUnusable
    from cellstrata.flows.launch import RunFailed, run
    from cellstrata.flows.monitor.summary import RunSummary
    from cellstrata.flows.notebook import get, pl, tl
    from cellstrata.flows.notebook.memory_run import UnusableAnnData
    from cellstrata.flows.notebook.report import report
    from cellstrata.flows.preparation import UnusableInputs
    from cellstrata.flows.server.embedded_server import ServerFailed
    from cellstrata.tasks.elements.linked_anndata import linked_store, open_linked
    from cellstrata.tasks.publishing.materialize import materialize
    from cellstrata.tasks.results.scanpy_markers import rank_genes_groups
    from cellstrata.tasks.stores.data_errors import InputError, OutputError

    __version__: str

__all__ = [
    "ConfigError",
    "InputError",
    "OutputError",
    "RunConfig",
    "RunFailed",
    "RunSummary",
    "RunnerUnusable",
    "ServerFailed",
    "SplitFailed",
    "UnusableAnnData",
    "UnusableInputs",
    "__version__",
    "get",
    "linked_store",
    "load_config",
    "materialize",
    "open_linked",
    "pl",
    "rank_genes_groups",
    "report",
    "run",
    "tl",
]

_MODULES = {
    "ConfigError": "configs.errors",
    "InputError": "tasks.stores.data_errors",
    "OutputError": "tasks.stores.data_errors",
    "RunConfig": "configs.model",
    "RunFailed": "flows.launch",
    "RunSummary": "flows.monitor.summary",
    "RunnerUnusable": "flows.executors.executor",
    "ServerFailed": "flows.server.embedded_server",
    "SplitFailed": "flows.driver",
    "UnusableAnnData": "flows.notebook.memory_run",
    "UnusableInputs": "flows.preparation",
    "get": "flows.notebook",
    "linked_store": "tasks.elements.linked_anndata",
    "load_config": "configs.loading.load",
    "materialize": "tasks.publishing.materialize",
    "open_linked": "tasks.elements.linked_anndata",
    "pl": "flows.notebook",
    "rank_genes_groups": "tasks.results.scanpy_markers",
    "report": "flows.notebook.report",
    "run": "flows.launch",
    "tl": "flows.notebook",
}
_ROOMS = frozenset({"flows.notebook"})  # whose names are modules


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("cellstrata")
    elif name in _MODULES:
        module = f"{__name__}.{_MODULES[name]}"
        whole = _MODULES[name] in _ROOMS
        found = import_module(f"{module}.{name}") if whole else getattr(import_module(module), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found  # looked up once
    return found


def __dir__() -> list[str]:
    return list(__all__)
