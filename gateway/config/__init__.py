"""Define, read and validate the configuration file. Only the composition root and the commands import this package."""
