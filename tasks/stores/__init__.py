"""Bytes at a URL: read by ranges, tried again, written whole, told apart by what their store says.

Start with `store.Store`. What goes wrong, and how often it is tried again, is in `faults` and `retries`.
Imports from this project: configs and imports alone.
"""
