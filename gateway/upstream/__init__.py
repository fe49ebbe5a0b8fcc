"""Implement calls to Runpod: the only package that uses httpx."""
