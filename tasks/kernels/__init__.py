"""Pure functions on arrays: neighbors, connectivities, partition; the engines.

Start with `partition.partition`. A new engine is a file here and a line in `engines.ENGINES`.
Imports from this project: imports alone: no configuration, no store, no cache, no AnnData.
"""
