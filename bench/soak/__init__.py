"""Whether a gateway that serves for long keeps anything: memory, descriptors, seats, jobs."""
