"""cellstrata: cluster single-cell atlases at many resolutions and many levels of sub-clustering.

`configs` says what is asked for, `tasks` what one step does, `flows` in which order and where. Each
imports only what stands left of it. The three folders lie at the top of the repository; here they are linked.
"""
