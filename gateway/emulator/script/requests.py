"""Parse the inputs of jobs, in the shapes that workers accept. Pure."""

import re
from enum import StrEnum

import msgspec

from gateway.emulator.schema import Schema

Text = str | list[str | int | list[int]]


class Kind(StrEnum):
    """Name the model server's route that a job is for."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    MODELS = "models"


class ContentPart(msgspec.Struct, frozen=True):
    """Parse one part of a message. Only text is used; images and files are ignored."""

    type: str = ""
    text: str = ""


class Message(msgspec.Struct, frozen=True):
    """Parse one message of a conversation."""

    role: str = "user"
    content: str | list[ContentPart | str] | None = None

    @property
    def text(self) -> str:
        """Return the text of all its parts."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return " ".join(part if isinstance(part, str) else part.text for part in self.content).strip()


class Function(msgspec.Struct, frozen=True):
    """Parse a function that the model may call."""

    name: str
    parameters: Schema | None = None


class Tool(msgspec.Struct, frozen=True):
    """Parse one entry of `tools`."""

    function: Function


class FunctionName(msgspec.Struct, frozen=True):
    """Parse the function of a named tool choice."""

    name: str


class NamedChoice(msgspec.Struct, frozen=True):
    """Parse a `tool_choice` that names its function."""

    function: FunctionName


class NamedSchema(msgspec.Struct, frozen=True):
    """Parse the `json_schema` of a response format."""

    schema: Schema = Schema()


class ResponseFormat(msgspec.Struct, frozen=True):
    """Parse the required format of the answer."""

    type: str = "text"
    json_schema: NamedSchema | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """Parse `stream_options`."""

    include_usage: bool = False


class Sampling(msgspec.Struct, frozen=True):
    """Parse the `sampling_params` of raw inputs."""

    n: int = 1
    stop: str | list[str] | None = None
    max_tokens: int | None = None


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Parse the body of a request to a model server; it has the fields of all routes. Unknown fields are ignored."""

    model: str = ""
    messages: list[Message] | None = None
    prompt: Text | None = None
    input: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    echo: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    guided_json: Schema | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    sampling_params: Sampling | None = None

    @property
    def text(self) -> str:
        """Return the text of the last user message (or of the last message), of the prompt or of the input."""
        if self.messages:
            users = [message for message in self.messages if message.role == "user"]
            return (users or self.messages)[-1].text
        return " ".join(texts(self.prompt if self.prompt is not None else self.input))

    @property
    def stops(self) -> list[str]:
        """Return the stop sequences that are not empty."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the steering words, such as `#fail=handler`, of the model name and of the request's text."""

    fail: str | None = None
    fail_status: int | None = None
    fail_after: int | None = None
    deaths: int | None = None
    interval: float | None = None


class JobInput(msgspec.Struct, frozen=True, kw_only=True):
    """Parse the input of a job: the OpenAI passthrough, worker-vllm's own passthrough, or a raw request at the top."""

    openai_route: str = ""
    openai_input: msgspec.Raw = msgspec.Raw()
    route: str = ""
    body: msgspec.Raw = msgspec.Raw()


class ScriptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one job for the script."""

    kind: Kind
    model_request: ModelRequest
    is_raw: bool
    """True if the input was a raw one, with `sampling_params`."""
    steering: Steering


class UnknownInputError(Exception):
    """Signal that no worker takes the input."""


_decode_input = msgspec.json.Decoder(JobInput, strict=False).decode
_decode_request = msgspec.json.Decoder(ModelRequest, strict=False).decode
_STEERING = re.compile(r"#(fail|fail-status|fail-after|deaths|interval)=([\w.-]+)")


def read_request(job_input: bytes) -> ScriptRequest:
    """Parse the input of a job.

    Raises:
        UnknownInputError: It names an unknown route, or none and holds neither messages nor a prompt.
        msgspec.DecodeError: It is not JSON, or a field has the wrong type.
    """
    outer = _decode_input(job_input)
    route = outer.openai_route or outer.route
    if route:
        inner = outer.openai_input if outer.openai_route else outer.body
        request = ModelRequest() if bytes(inner) in {b"", b"null"} else _decode_request(inner)
        return ScriptRequest(kind=_kind(route), model_request=request, is_raw=False, steering=_steering(request))
    request = _decode_request(job_input)
    if request.messages is None and request.prompt is None:
        raise UnknownInputError
    sampling = request.sampling_params or Sampling()
    request = msgspec.structs.replace(request, n=sampling.n, stop=sampling.stop, max_tokens=sampling.max_tokens)
    kind = Kind.CHAT if request.messages is not None else Kind.COMPLETION
    return ScriptRequest(kind=kind, model_request=request, is_raw=True, steering=_steering(request))


def texts(text: Text | None) -> list[str]:
    """Return a prompt or an input as a list of texts; token ids are written out as numbers."""
    if text is None:
        return []
    if isinstance(text, str):
        return [text]
    if text and all(isinstance(item, int) for item in text):
        return [" ".join(str(token) for token in text)]
    return [" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in text]


def _kind(route: str) -> Kind:
    path = route.removeprefix("/").removeprefix("v1/").rstrip("/")
    kinds = {"chat/completions": Kind.CHAT, "completions": Kind.COMPLETION, "embeddings": Kind.EMBEDDING}
    if path.partition("/")[0] == "models":
        return Kind.MODELS
    if path not in kinds:
        raise UnknownInputError
    return kinds[path]


def _steering(request: ModelRequest) -> Steering:
    found = dict(_STEERING.findall(f"{request.model} {request.text}"))
    if not found:
        return _NO_STEERING
    try:
        return msgspec.convert({name.replace("-", "_"): value for name, value in found.items()}, Steering, strict=False)
    except msgspec.ValidationError:
        return _NO_STEERING


_NO_STEERING = Steering()
