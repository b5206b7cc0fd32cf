"""What one step does: functions of arrays, files and typed values, in rooms by what they are about.

Start with `trees.split`, which splits one cluster; `inputs` stand before it, `results` after it.
Never imports Prefect or `flows`. `tests/test_architecture.py` has the table of which room may import which.
"""
