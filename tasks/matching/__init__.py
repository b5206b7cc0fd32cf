"""Ids that stay: clusters are numbered after those of an earlier result with which they share their cells.

Start with `ids.match_levels`, which needs labels alone; `earlier` reads a result, `trees` and `adata` give the new ids.
Imports from this project: configs, imports, stores, elements, inputs, trees, colours, results.
"""
