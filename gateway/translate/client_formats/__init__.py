"""Define the client formats: what clients send to each path, and how they read the answers."""
