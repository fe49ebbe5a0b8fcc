"""Benchmarks: what Fairpod promises, measured."""
