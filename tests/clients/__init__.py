"""Real clients against the gateway, over real sockets."""
