"""Where functions are computed: threads, processes, a Dask cluster, GPUs.

Start with `executor.Executor`. A new runner is a file here and a line in `registry.RUNNERS`.
Imports from this project: configs and, of the tasks, workers, kernels, cache, stores and imports; no flow.
"""
