"""What the exchanges did, as metrics and as log lines: the only home of prometheus_client and structlog."""
