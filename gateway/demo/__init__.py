"""Run the demo: an emulated endpoint, a worker and the gateway in one process tree."""
