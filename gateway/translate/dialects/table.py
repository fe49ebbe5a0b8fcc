"""Configuration name to dialect: the only place that knows them all."""

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
"""Each is made of a request and the worker's name for the model; making one refuses what its workers cannot serve."""
