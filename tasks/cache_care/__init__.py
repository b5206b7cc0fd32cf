"""Looking after a cache: what is in it, whether it is sound, and making it smaller.

Start with `survey.survey`. Only `cellstrata cache` needs this room.
Imports from this project: configs, cache, overlays and stores.
"""
