"""Which resolution to take: a sweep over resolutions, the range in which each partition is best, and what is advised.

Start with `advice.advise`; `sweep` says at which resolutions a sweep looks, `resolution_facts` reads what came of them.
Imports from this project: configs, trees, evidence, kernels, cache and stores; nothing is computed but numbers.
"""
