"""The configuration as the form that Prefect's UI shows.

Start with `schema.form_schema`; `titles` has the order of the keys and their names in plain words.
Imports from this project: configs alone.
"""
