"""Implement the dialects: the request and output formats of each kind of worker."""
