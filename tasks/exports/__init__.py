"""Results in the formats of other programs: files of AnnData for platforms, trees, tables of labels.

Start with `export.export_result`; `formats` is the list of formats, each of which is a file, and `levels` what they
write: clusters or their names, level by level.
Imports from this project: configs, results, publishing, colours, trees, elements, kernels, stores, imports.
"""
