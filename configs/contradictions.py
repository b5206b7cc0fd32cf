"""Keys under `clustering` that contradict one another, as they are written; the whole need not be readable for it."""

from __future__ import annotations

from collections.abc import Mapping

from cellstrata.configs.errors import Problem


def contradictions(data: Mapping[str, object]) -> list[Problem]:
    """Return what contradicts in the keys of a dataset, each with what to do."""
    found = []
    algorithm = data.get("algorithm")
    wanted = algorithm if isinstance(algorithm, list) else [algorithm]
    engine = data.get("engine")
    if engine in ("leidenalg", "libreville") and "louvain" in wanted:
        found.append(Problem(("engine",), f"{engine} has no louvain", "write `engine: cellstrata`, or leave it out"))
    if engine == "rapids" and data.get("use_gpu", False) is False:
        found.append(Problem(("engine",), "rapids runs on a GPU only", "write `use_gpu: true` or `required` beside it"))
    if data.get("recompute_neighbors") is True and data.get("neighbors") is False:
        message = "false (only the stored graph) contradicts `recompute_neighbors: true`"
        found.append(Problem(("neighbors",), message, "drop one of the two"))
    return found
