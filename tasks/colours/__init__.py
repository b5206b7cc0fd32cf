"""Which color a cluster or category has, the same in the result, the figures and the report.

Start with `palette.tree_palette`.
Imports from this project: trees, for their labels.
"""
