"""Clusters beside covariates, genes and other clusters: agreement, composition, and values out of X. Numbers alone.

Start with `covariates` and `agreement`; `compared_results` compares columns and results.
Imports from this project: colours, elements, kernels, cache, stores, imports and configs: no matplotlib, no result.
"""
