"""Which tests `.ci/run` runs on its first Python alone: those that are about no library of data.

The second Python is there because its newest anndata, scanpy, pandas and zarr are a generation later. Tests of
processes, locks, servers, stores, words of the command line, configurations and pages are not about these. Where such
a test reads or writes data on its way, another reads and writes the same on both; it is named here. A test can be named
by its function too. `test_one_python.py` holds what can be held of this; those marked `processes` run once as well.
"""

from __future__ import annotations

UMAP = "tests/tasks/inputs/test_pca_umap.py"
RUN = "tests/flows/test_cluster.py"  # runs of every kind, with any runner, from the cache and damaged
ONCE: dict[str, tuple[str, ...]] = {
    # no data
    "tests/configs": (),
    "tests/flows/commands/test_completion.py": (),
    "tests/flows/commands/test_terminal.py": (),
    "tests/flows/server/test_connection.py": (),
    "tests/test_architecture.py": (),
    "tests/test_licenses.py": (),
    "tests/test_skips.py": (),
    # processes, servers and runners
    "tests/flows/executors": (RUN,),
    "tests/flows/server/test_embedded_server.py::test_the_server_ends_when_its_run_is_killed": (RUN,),
    "tests/flows/server/test_embedded_server.py::test_a_server_that_does_not_answer_is_a_failure_that_says_so": (RUN,),
    "tests/flows/server/test_deployment.py::test_the_server_for_one_person_starts_says_where_and_stops": (RUN,),
    "tests/flows/server/test_deployment.py::test_without_a_server_the_command_that_starts_one_is_named": (RUN,),
    "tests/flows/test_launch.py": (RUN,),
    "tests/flows/test_pieces.py": (RUN,),
    "tests/flows/test_recovery.py": (RUN, "tests/tasks/trees/test_tree.py"),
    "tests/flows/test_run.py": (RUN,),
    "tests/flows/notebook/test_cluster.py::test_a_script_without_a_guard_is_run_once_and_prefect_is_not_loaded": (
        "tests/flows/notebook/test_cluster.py",
    ),
    "tests/test_package.py": (RUN,),
    # stores and their faults
    "tests/flows/test_bucket_cache.py": (RUN, "tests/flows/commands/test_linked.py"),
    "tests/flows/test_clouds.py": (
        "tests/flows/commands/test_linked.py",
        "tests/tasks/elements/test_linked_anndata.py",
        "tests/tasks/inputs/test_bucket_inputs.py",
    ),
    "tests/flows/test_credentials.py": ("tests/flows/commands/test_linked.py",),
    "tests/flows/test_faults.py": ("tests/flows/commands/test_linked.py",),
    "tests/flows/monitor/test_live.py::test_figures_in_a_bucket": (
        "tests/flows/commands/test_linked.py",
        "tests/tasks/figures/test_figures.py",
    ),
    "tests/tasks/stores": ("tests/tasks/inputs/test_bucket_inputs.py",),
    # words, pages and workflows
    "tests/flows/commands/test_command.py": ("tests/flows/commands/test_cluster.py", RUN),
    "tests/flows/commands/test_letters.py": ("tests/flows/test_edge_cases.py",),
    "tests/flows/commands/test_malformed.py": ("tests/flows/test_edge_cases.py",),
    "tests/flows/commands/test_cache.py": ("tests/tasks/cache_care/test_cache_care.py", UMAP),
    "tests/flows/commands/test_plan.py": ("tests/tasks/forecast/test_forecast.py",),
    "tests/flows/commands/test_trace.py": (RUN,),
    "tests/flows/monitor/test_reports.py": ("tests/tasks/report/test_report.py",),
    "tests/flows/test_readme.py": (RUN, "tests/flows/commands/test_explain.py"),
    "tests/tasks/report/test_report_browser.py": ("tests/tasks/report/test_report.py",),
    "tests/test_workflows.py": ("tests/flows/commands/test_cluster.py",),
    # in which order a run takes its steps, what it keeps of them and finds again: the steps are tried on both
    "tests/flows/ancestor/test_wastes.py": (
        "tests/flows/ancestor/test_defects.py",
        "tests/tasks/elements/test_conversion.py",
        "tests/tasks/publishing/test_publish.py",
        "tests/tasks/trees/test_tree.py",
    ),
    "tests/flows/test_advice.py": ("tests/flows/notebook/test_judgement.py", "tests/tasks/advice/test_advice.py"),
    "tests/flows/test_child_markers.py": (
        "tests/flows/test_run_markers.py",
        "tests/tasks/branches/test_child_markers.py",
    ),
    "tests/flows/test_ensemble.py": (RUN, "tests/tasks/kernels/test_ensemble.py"),
    "tests/flows/test_evidence.py": ("tests/flows/notebook/test_judgement.py", "tests/tasks/evidence/test_evidence.py"),
    "tests/flows/test_match.py": ("tests/flows/notebook/test_match.py", "tests/tasks/matching/test_ids.py"),
    "tests/flows/test_neighbor_lists.py": (RUN, "tests/tasks/trees/test_neighbor_lists.py"),
} | {
    f"tests/flows/test_branch_embeddings.py::{name}": (
        "tests/flows/test_branch_embeddings.py", "tests/tasks/branches/test_derivation.py",
    )
    for name in (
        "test_any_runner_and_cache_gives_the_same",
        "test_another_embedding_of_one_branch_computes_its_subtree_alone",
        "test_evidence_and_rules_use_the_same_embedding",
        "test_the_plan_knows_of_them",
        "test_a_cluster_without_an_embedding_stays_whole",
        "test_the_plan_and_explain_know_of_such_clusters",
    )
}  # fmt: skip


def runs_once(place: str) -> bool:
    """Tell whether a file or a test, by its address from the root of the repository, is in the list."""
    address = place.partition("[")[0]
    return any(address == entry or address.startswith((f"{entry}/", f"{entry}::")) for entry in ONCE)
