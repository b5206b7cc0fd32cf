"""How threads import: slow packages are loaded on first use, and the threads of a run may use them at once.

Start with `turns`.
Imports nothing of this project.
"""
