"""Clusters beside covariates and genes: agreement, composition, and values out of X. Numbers alone.

Start with `covariates` and `agreement`.
Imports from this project: elements, cache and stores: no matplotlib, no result.
"""
