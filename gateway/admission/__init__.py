"""Waiting, around fairshare: tickets become permits, and every permit is returned once."""
