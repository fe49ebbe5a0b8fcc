"""Translate between OpenAI's API and Runpod's: pure functions and state machines without I/O, clock or randomness."""
