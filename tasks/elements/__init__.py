"""AnnData files, h5ad or zarr, element by element: opened, read and copied, never loaded whole.

Start with `opening.open_anndata`; `reading` has a function for each kind of element.
Imports from this project: configs, overlays, stores and imports.
"""
