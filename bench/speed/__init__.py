"""What the gateway costs beside others, on this machine and in one run."""
