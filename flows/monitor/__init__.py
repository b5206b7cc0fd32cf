"""What is seen of a run while it lasts and when it ends: progress, artifacts, states.

Start with `progress.ProgressFeed`.
Imports from this project: configs and what is below; no flow.
"""
