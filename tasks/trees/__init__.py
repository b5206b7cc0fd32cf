"""What is asked of a cluster tree, the keys of its nodes, and the one function that splits a node.

Start with `split.split`; `plan` says what is asked, `keys` what a result depends on, `tree` what came.
Imports from this project: configs, cache, evidence, kernels, markers, stores, imports: no AnnData, no input, no result.
"""
