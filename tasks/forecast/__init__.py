"""What a run would do and how long it would take, from the cache and from past splits.

Start with `inputs.forecast`.
Imports from this project: inputs, trees, kernels and cache; nothing is computed or written.
"""
