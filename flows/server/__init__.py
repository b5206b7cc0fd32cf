"""A Prefect server of the run's own, for a machine on which none is configured.

Start with `embedded_server.EmbeddedServer`. It works around faults of others, each named in its file.
Imports from this project: stores; beside it Prefect.
"""
