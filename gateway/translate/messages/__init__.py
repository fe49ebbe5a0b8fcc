"""Translate between Anthropic's Messages API and chat completions."""
