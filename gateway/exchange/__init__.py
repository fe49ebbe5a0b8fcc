"""One client request, from admission to settlement."""
