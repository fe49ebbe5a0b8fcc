"""Define the exceptions that msgspec raises for malformed bytes."""

import msgspec

MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""Exceptions for bytes that are not JSON or have other types, are nested too deeply, or are not UTF-8."""
