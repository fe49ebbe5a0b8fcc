"""Export events as metrics, log lines and traces. Only this package imports their libraries."""
