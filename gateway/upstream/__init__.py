"""Calls to Runpod: the only home of httpx."""
