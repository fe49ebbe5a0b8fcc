"""The commands that are the gateway's own, each a module with `add_arguments` and `run`."""
