"""Map configuration names to dialects. This is the only module that imports all dialects."""

from collections.abc import Callable

from gateway.translate.dialects.contract import Dialect
from gateway.translate.dialects.legacy import LegacyDialect
from gateway.translate.dialects.openai import OpenAIDialect
from gateway.translate.dialects.text import TextDialect
from gateway.translate.dialects.tokens import TokensDialect
from gateway.translate.request import ClientRequest

DIALECTS: dict[str, Callable[[ClientRequest, str], Dialect]] = {
    "openai": OpenAIDialect,
    "tokens": TokensDialect,
    "legacy": LegacyDialect,
    "text": TextDialect,
}
"""Factories of dialects, called with a request and the worker's name for the model; they reject requests that their
workers cannot serve."""
