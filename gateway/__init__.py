"""Fairpod: one OpenAI-compatible base URL for Runpod Serverless endpoints, shared fairly."""

__version__ = "0.1.0"
