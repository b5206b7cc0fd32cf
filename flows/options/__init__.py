"""What can be said on the command line: commands, their options and help. A word imports nothing that it does not need.

Start with `parser.command_parser`; the commands that take a result further are in `results_parser`.
Imports from this project: nothing.
"""
