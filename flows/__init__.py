"""In which order and where steps are done: Prefect flows and tasks, executors, server, commands.

Start with `cluster.cluster`, the flow of a whole run. Flows orchestrate and compute nothing.
Imports from this project: what is below; nothing imports it but the package's face and the command.
"""
