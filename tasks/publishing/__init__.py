"""Writing a zarr that appears whole or not at all: linked, referred to, copied or converted.

Start with `publish.publish`.
Imports from this project: elements, overlays, stores and imports: no tree, no configuration.
"""
