"""What a run would do and how long it would take, from the cache and from past splits.

Start with `inputs.forecast_input`.
Imports from this project: configs, inputs, trees, evidence, kernels, cache and stores; nothing is computed or written.
"""
