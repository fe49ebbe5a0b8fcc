"""Convert the content parts of Responses items to those of chat messages."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from gateway.errors import InvalidRequestError
from gateway.translate.responses.unsupported import unsupported
from gateway.wire import openai
from gateway.wire.lenient import is_null
from gateway.wire.malformed import MALFORMED
from gateway.wire.openai import NULL, Fields

TEXT_TYPES = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal"})
_decode_parts = msgspec.json.Decoder(list[Fields]).decode


def content_of(content: Raw | None, param: str, *, separator: str | None) -> Raw:
    """Return the content of a chat message: a string as it is, parts of text joined, other parts one by one.

    Without a separator, several parts of text remain a list: the worker's chat template joins them.

    Raises:
        InvalidRequestError: A part cannot be read, or refers to a stored file.
    """
    if is_null(content):
        return Raw(b'""')
    assert content is not None  # noqa: S101 - `is_null` says so.
    if bytes(content)[:1] == b'"':
        return content
    parts = _parts(content, param)
    types = [type_of(part) for part in parts]
    if TEXT_TYPES.issuperset(types) and (separator is not None or len(parts) == 1):
        return Raw(openai.encode((separator or "").join(_texts(parts, param))))
    converted = [_part(part, kind, f"{param}[{at}]") for at, (part, kind) in enumerate(zip(parts, types, strict=True))]
    return openai.join_objects(converted)


def text_of_parts(content: Raw | None, param: str) -> str:
    """Return the text of a list of parts; parts that hold none are ignored.

    Raises:
        InvalidRequestError: A part cannot be read.
    """
    if is_null(content):
        return ""
    parts = _parts(content or NULL, param)
    return "\n".join(_texts([part for part in parts if type_of(part) in TEXT_TYPES], param))


def type_of(fields: Fields) -> str:
    """Return the type of an item or a part; empty if it has none."""
    try:
        return openai.decode_string(fields.get("type", b'""'))
    except MALFORMED:
        return ""


def _parts(content: Raw, param: str) -> list[Fields]:
    try:
        return _decode_parts(content)
    except MALFORMED:
        reason = f"'{param}' must be a string or a list of parts, which are objects."
        raise InvalidRequestError(reason, param=param, code="invalid_type") from None


def _texts(parts: Sequence[Fields], param: str) -> list[str]:
    texts = []
    for at, part in enumerate(parts):
        name = "refusal" if type_of(part) == "refusal" else "text"
        try:
            texts.append(openai.decode_string(part[name]))
        except (*MALFORMED, KeyError):
            reason = f"'{param}[{at}]' needs a '{name}', which is a string."
            raise InvalidRequestError(reason, param=f"{param}[{at}].{name}") from None
    return texts


def _part(part: Fields, kind: str, param: str) -> Fields:
    if kind in TEXT_TYPES:
        (text,) = _texts([part], param)
        return {"type": Raw(b'"text"'), "text": Raw(openai.encode(text))}
    if kind == "input_image":
        _refuse_stored(part, param, instead="image_url")
        names = {"url": "image_url", "detail": "detail"}
        return _nested("image_url", part, {each: name for each, name in names.items() if not is_null(part.get(name))})
    if kind == "input_file":
        _refuse_stored(part, param, instead="file_data")
        names = {each: each for each in ("file_data", "filename", "file_url") if not is_null(part.get(each))}
        return _nested("file", part, names)
    # An `input_audio` is the same in both; of other types the worker decides.
    return part


def _nested(kind: str, part: Fields, names: dict[str, str]) -> Fields:
    inner = {each: part[name] for each, name in names.items()}
    return {"type": Raw(openai.encode(kind)), kind: Raw(openai.encode(inner))}


def _refuse_stored(part: Fields, param: str, *, instead: str) -> None:
    if is_null(part.get(instead)) and not is_null(part.get("file_id")):
        raise unsupported(f"Files are not stored here. Send the content in '{instead}' instead.", f"{param}.file_id")
