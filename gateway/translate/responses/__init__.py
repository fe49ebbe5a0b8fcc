"""Translate between the Responses API and chat completions."""
