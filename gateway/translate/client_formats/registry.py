"""List the client formats that the gateway serves; each is one file beside this one."""

from gateway.translate.client_formats.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.client_formats.openai_chat import OPENAI_CHAT
from gateway.translate.client_formats.openai_completions import OPENAI_COMPLETIONS
from gateway.translate.client_formats.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.translate.client_formats.openai_responses import OPENAI_RESPONSES

CLIENT_FORMATS: tuple[ClientFormat, ...] = (
    OPENAI_CHAT,
    OPENAI_COMPLETIONS,
    OPENAI_EMBEDDINGS,
    OPENAI_RESPONSES,
    ANTHROPIC_MESSAGES,
)
