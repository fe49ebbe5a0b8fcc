"""Implement waiting on top of fairshare: tickets become permits, and every permit is returned exactly once."""
