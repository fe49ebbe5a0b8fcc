"""What msgspec raises of bytes that are not what they should be."""

import msgspec

MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""Not JSON or of other types, nested too deeply, not UTF-8."""
