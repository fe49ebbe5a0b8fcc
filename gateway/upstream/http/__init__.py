"""HTTP/1.1 to Runpod: a transport of our own behind httpx's interface."""
