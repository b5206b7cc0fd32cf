"""Names that people give to the clusters of a result: what a curation says, whether it fits, and the result with it.

Start with `curate.curate`.
Imports from this project: results, publishing, colours and what is below.
"""
