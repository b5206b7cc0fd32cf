"""How a configuration is read: from a YAML file, the environment and options, or the arguments of one level alone.

Start with `load.load_config`; `yaml_reader` keeps the lines of a file for messages.
Imports from this project: configs.
"""
