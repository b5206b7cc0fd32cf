"""Clusters beside covariates and genes: agreement, composition, and values out of X. Numbers alone.

Start with `covariates` and `agreement`.
Imports from this project: colours, elements, kernels, cache, stores and imports: no matplotlib, no result.
"""
