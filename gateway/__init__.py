"""Serve Runpod Serverless endpoints at one OpenAI-compatible base URL, with fair-share rate limiting."""

__version__ = "0.1.0"
