"""Marker genes: statistics of all clusters from one pass over the values, and tests of groups of cells. Numbers alone.

Start with `moments.moments`; `t_test` and `rank_sums` have the tests, `leaves` says how columns share one pass.
Imports from this project: configs and imports.
"""
