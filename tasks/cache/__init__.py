"""The cache: arrays under their digest, records under their key, who computes what, who uses it now.

Start with `cache.Cache`. Nothing is ever unpickled from it.
Imports from this project: stores.
"""
