"""Build the parts of a gateway process from its configuration."""
