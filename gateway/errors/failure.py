"""The root of every failure that was foreseen."""


class GatewayError(Exception):
    """Any failure that we foresaw."""

    is_elsewhere_safe: bool = False
    """Whether nothing was started for the client upstream, so that another endpoint or route may be asked."""
