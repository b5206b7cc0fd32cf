"""In which order and where steps are done: Prefect flows and tasks, executors, server, commands.

Start with `cluster.cluster`, the flow of a whole run. Flows orchestrate and compute nothing.
Imports `configs` and `tasks`; nothing imports it but the package's face and the command.
"""
