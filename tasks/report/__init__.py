"""One self-contained HTML page for each dataset, and an index of each run.

Start with `page.page`. The scripts and styles are in `assets`.
Imports from this project: results, evaluation, colours and what is below; never figures.
"""
