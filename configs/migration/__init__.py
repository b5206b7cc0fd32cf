"""Configurations of scAtlasTb, rewritten as ones of this package.

Start with `document.migrated`. Values, hierarchies and notes have a file each.
Imports from this project: configs and its loading.
"""
