"""Collection: the columns of many results, each of a level or a resolution, in one file.

Start with `columns.collect_columns`; `output.write_collected` writes what it found.
Imports from this project: configs, imports, elements, publishing, results and stores.
"""
