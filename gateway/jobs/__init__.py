"""Run jobs at Runpod, and keep track of those that outlive their requests."""
