"""What a run would do and how long it would take, from the cache and from past splits.

Start with `inputs.forecast_input`.
Nothing is computed or written.
Imports from this project: configs, branches, inputs, advice, trees, evidence, kernels, cache and stores.
"""
