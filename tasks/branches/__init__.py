"""What splits need of the expression of their cells: embeddings of clusters' own, derived by scanpy, and the genes that
tell children apart. Each is an entry of the cache, and several are made in one pass over the input.

Start with `embedding.embed_branches`; `derivation` computes, from a matrix to a matrix; `child_markers` is for a rule;
`embeddings_zarr` writes embeddings beside a result.
Imports from this project: inputs, expression, publishing, trees, cache and what is below.
"""
