"""Serve HTTP to clients and operators, with Litestar."""
