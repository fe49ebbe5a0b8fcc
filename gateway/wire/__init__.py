"""Shapes of bytes: OpenAI's JSON, Runpod's JSON, server-sent events. Knows nothing of us."""
