"""Implement one client request, from admission to settlement."""
