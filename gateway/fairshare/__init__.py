"""Implement fair-share scheduling, quotas and rate limits as pure logic: callers pass the current time."""
