"""What a worker process does when it starts, who owns a GPU, and calls on other machines.

Start with `process`. Workers import as little as they can: neither anndata, scanpy nor Prefect.
Imports from this project: configs, trees, kernels, cache, stores and imports.
"""
