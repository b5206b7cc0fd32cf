"""Pure functions on arrays: neighbors, connectivities, partition; the engines and where they run.

Start with `partition.partition`. A new engine is a file here and a line in `engines.ENGINES`.
Imports from this project: configs and imports alone: no store, no cache, no AnnData.
"""
