"""Writing a zarr that appears whole or not at all: linked, referred to, copied or converted.

Start with `publish.publish`.
Imports from this project: elements, overlays, stores, imports, and the form of markers: no tree, no configuration.
"""
