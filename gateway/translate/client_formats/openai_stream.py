"""Define the streams of chat and text completions in OpenAI's format."""

from gateway.translate.chunks import ChunkWriter
from gateway.translate.client_formats.contract import StreamFormat
from gateway.translate.client_formats.openai_errors import error_event
from gateway.wire.sse import KEEP_ALIVE

OPENAI_STREAM = StreamFormat(media_type="text/event-stream", open=ChunkWriter, comment=KEEP_ALIVE, error=error_event)
