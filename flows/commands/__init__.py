"""The command `cellstrata`, a file for each of its commands, and what the terminal shows.

Start with `command.main`.
Imports from this project: everything; nothing imports it.
"""
