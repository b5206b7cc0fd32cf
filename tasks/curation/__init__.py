"""Names that people give to clusters: what a curation says, whether it fits, and the result with it; and cell types
of an annotated atlas as a tree.

Start with `curate.curate`; `adoption.adoption` makes a tree of label columns.
Imports from this project: configs, results, evaluation, trees, publishing, colours and what is below.
"""
