"""Share state between replicas: the only package that uses redis-py, behind the Protocols of its callers."""
