"""Implement the gateway's own commands, each as a module with `add_arguments` and `run`."""
