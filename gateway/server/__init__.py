"""Run gateway processes: sockets, HTTP, limits of connections, and signals."""
