"""Recognize Anthropic's clients where a path alone does not tell the format of an answer, and list models for them."""

from datetime import UTC, datetime
from typing import Any

from litestar.types import Scope

from gateway.wire.openai import encode

JsonObject = dict[str, Any]
_VERSION = b"anthropic-version"


def is_anthropic(scope: Scope) -> bool:
    """Return True if a request has the header that all of Anthropic's clients send."""
    return any(name == _VERSION for name, _ in scope["headers"])


def model_info(name: str, *, created_s: int) -> JsonObject:
    """Return one model in Anthropic's format; `created_s` is a Unix time in seconds."""
    created_at = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created_at}


def model_page(names: list[str], *, created_s: int) -> bytes:
    """Return all models as the only page of a list."""
    data = [model_info(name, created_s=created_s) for name in names]
    first, last = (names[0], names[-1]) if names else (None, None)
    return encode({"data": data, "has_more": False, "first_id": first, "last_id": last})
