"""Inspect first: every input is opened and checked, and what will be read is put in the cache.

Start with `inspection.inspect_input`. What is wrong with an input is said here, before any work.
Imports from this project: what is below: elements, trees, evidence, kernels, cache; nothing that writes a result.
"""
