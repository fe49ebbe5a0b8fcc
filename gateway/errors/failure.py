"""Define the base class of all expected errors."""


class GatewayError(Exception):
    """Represent any expected failure."""

    is_elsewhere_safe: bool = False
    """True if nothing was started upstream, so that another endpoint or route may be tried."""
