"""The document by which a result refers to its input, and the zarr store that reads through it.

Start with `document.References`. Opening such a result is in `elements`, writing one in `publishing`.
Imports from this project: stores and imports.
"""
