"""Where replicas meet: the only home of redis-py, behind the Protocols of those who need it."""
