"""Expression values of all cells: X, a layer or raw, gone through once by blocks, in the order they are stored in.

Start with `source.find_expression`; `blocks` goes through it, `gene_blocks` gene by gene.
Imports from this project: configs, elements, stores and imports.
"""
