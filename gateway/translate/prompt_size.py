"""Estimate the tokens of a prompt before a worker counts them: text by its size, media by their type.

A picture of 300 KB is about 400 KB of base64, and about a thousand tokens: counted as text, it would reserve a hundred
thousand tokens of a tenant's budget. Settlement uses the worker's own usage.
"""

import math
import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.apis import Api
from gateway.wire import openai
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import Fields

BYTES_PER_TOKEN = 4
"""Estimated bytes of text per token, correct within a factor of two in most languages; estimates are marked as such."""
MEDIA_TOKENS: Mapping[str, int] = {
    "image_url": 1000,
    "input_image": 1000,
    "image": 1000,
    "input_audio": 750,
    "audio_url": 750,
    "video_url": 4000,
    "file": 2000,
    "input_file": 2000,
}
"""Estimated tokens per content part. OpenAI counts up to 1,105 for a picture in detail, vLLM's Qwen-VL about as many;
audio is 30 s at 25 tokens per second, a video a few seconds of frames, a file a few pages."""
_MEDIA_TYPE = re.compile(rb'"type"\s*:\s*"(?:image|input_|audio|video|file)')


class _Message(msgspec.Struct):
    content: Raw = Raw()


class _Part(msgspec.Struct):
    type: str = ""


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_raw_parts = msgspec.json.Decoder(list[Raw]).decode
_decode_part = msgspec.json.Decoder(_Part).decode


def prompt_tokens_estimate(api: Api, fields: Fields) -> int:
    """Estimate the tokens of a request's prompt."""
    size, media_tokens = 0, 0
    for name in api.counted_fields:
        if (value := fields.get(name)) is None:
            continue
        size += openai.size_of(value)
        if name == "messages" and _MEDIA_TYPE.search(memoryview(value)):
            media_bytes, tokens = _media(value)
            size -= media_bytes
            media_tokens += tokens
    return math.ceil(size / BYTES_PER_TOKEN) + media_tokens


def _media(messages: Raw) -> tuple[int, int]:
    """Return the bytes and the estimated tokens of the content parts that are not text."""
    size, tokens = 0, 0
    try:
        contents = [message.content for message in _decode_messages(messages)]
        parts = [part for content in contents if bytes(content)[:1] == b"[" for part in _decode_raw_parts(content)]
        for part in parts:
            part_tokens = MEDIA_TOKENS.get(_decode_part(part).type)
            if part_tokens is not None:
                size += openai.size_of(part)
                tokens += part_tokens
    except MALFORMED:
        # The worker validates malformed messages; the parts read so far are counted.
        pass
    return size, tokens
