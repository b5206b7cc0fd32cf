"""Embeddings of clusters' own, derived from the expression of their cells by scanpy, each an entry of the cache.

Start with `embedding.embed_branches`; `derivation` computes, from a matrix to a matrix.
Imports from this project: inputs, expression, trees, cache and what is below.
"""
