"""Implement HTTP/1.1 to Runpod: our own transport for httpx's interface."""
