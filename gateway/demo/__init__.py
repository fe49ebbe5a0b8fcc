"""The demo: an emulated endpoint, a real worker and the gateway in one process tree."""
