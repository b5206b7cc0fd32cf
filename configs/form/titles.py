"""The titles of the form in plain words, in the order in which they stand: first what every run asks for."""

from __future__ import annotations

from collections.abc import Mapping

CLUSTERING = {
    "algorithm": "Algorithm",
    "resolutions": "Resolutions",
    "hierarchy": "Levels of sub-clustering",
    "embedding": "Embedding of clusters below level 1",
    "publish_embeddings": "Write embeddings of clusters beside the result",
    "neighbors": "How neighbors are found",
    "recompute_neighbors": "Build a new graph of neighbors",
    "neighbors_key": "Stored graph of neighbors",
    "min_cells": "Leave clusters whole that have fewer cells than",
    "seed": "Seed",
    "ensemble": "Runs of Leiden to join",
    "evidence": "Gather evidence for each split",
    "stop": "What a split needs to stand",
    "batch_keys": "Columns of donors and batches",
    "markers": "Find marker genes",
    "match": "Number clusters after an earlier result",
    "umap_colors": "Color UMAPs by",
    "recompute_umap": "Compute a new UMAP",
    "plots": "Further figures",
    "stability": "Where the stability of each cell is written",
    "overwrite": "Replace columns of the same name",
    "use_gpu": "Use a GPU",
    "engine": "Program that finds the clusters",
    "n_iterations": "Iterations of Leiden",
    "n_cell_cpu": "Leave splits to the CPU that have fewer cells than",
    "gpu_check": "Share of the GPU's splits to check on the CPU",
    "max_cluster_factor": "Clusters per resolution after which the CPU repeats a split",
    "clustering_args": "Other keys, as scAtlasTb spells them",
}

# By the model's name in the schema; "" is the whole.
TITLES: Mapping[str, Mapping[str, str]] = {
    "": {
        "DATASETS": "Datasets",
        "output_dir": "Folder of the results",
        "figures": "Draw figures",
        "report": "Write a report of each dataset",
        "images": "Folder of the figures and reports",
        "cache": "Cache of finished splits",
        "read_cache": "Second cache, only read",
        "workers": "Workers",
        "runner": "What computes",
        "use_gpu": "Use GPUs",
        "link": "How a result holds its input",
        "refresh": "Compute every split anew",
        "rehash": "Read inputs again that look unchanged",
        "storage_options": "Options of stores",
        "dask": "Dask cluster",
        "grain": "Split clusters together that have fewer cells than",
        "defaults": "What holds for all datasets",
        "env_mode": "Of scAtlasTb, no effect: environments",
        "resources": "Of scAtlasTb, no effect: resources",
    },
    "DatasetConfig": {"input": "Data", "clustering": "Clustering"},
    "InputConfig": {"clustering": "Files"},
    "Defaults": {"datasets": "Datasets that take part", "clustering": "Clustering"},
    "ClusteringConfig": CLUSTERING,
    "NeighborsConfig": {
        "use_rep": "Embedding",
        "n_neighbors": "Neighbors of each cell",
        "metric": "Distance",
        "n_pcs": "Columns of the embedding to use",
    },
    "PlotsConfig": {"colors": "Further colors of UMAPs", "plot_centroids": "Columns with labels at their centroids"},
    "DaskConfig": {
        "address": "Address of the scheduler",
        "n_workers": "Processes of a local cluster",
        "threads_per_worker": "Threads of each process",
        "memory_limit": "Memory of each process",
        "timeout": "Seconds to wait for workers",
        "local_directory": "Folder for what Dask spills",
        "dashboard_address": "Address of Dask's dashboard",
        "tls_ca_file": "TLS: certificates of the authority",
        "tls_client_cert": "TLS: certificate of the client",
        "tls_client_key": "TLS: key of the client",
    },
}


def arrange(properties: dict[str, dict[str, object]], titles: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return the properties of one model in the order of its titles, with title and position; others come last.

    Prefect's UI sorts by `position`. The key stands behind the title, as it is written in a file.
    """
    order = [*(key for key in titles if key in properties), *(key for key in properties if key not in titles)]
    return {
        key: properties[key] | {"title": f"{titles[key]} ({key})" if key in titles else key, "position": place}
        for place, key in enumerate(order)
    }
