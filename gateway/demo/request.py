"""Parse a job's input, in worker-vllm's format, into a request to the model."""

from typing import Annotated

import msgspec

MODEL_NAME = "gemma-3-270m"
CHOICES_MAX = 4
MAX_TOKENS_DEFAULT = 256
# A base model does not know the end of an answer: it would go on and ask itself the next question.
CHAT_STOPS = ("\nQuestion", "\n\nQuestion", "\nAnswer:", "\n\nAnswer:")

_PASSED_ON = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
)

_Tokens = Annotated[int, msgspec.Meta(ge=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]


class RequestError(Exception):
    """Signal that this worker cannot do what the job asks; `status` is what an HTTP server would return."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class _StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    include_usage: bool = False


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """Parse the fields of an OpenAI request that this worker supports; others are ignored."""

    model: str = MODEL_NAME
    messages: list[dict[str, object]] | None = None
    prompt: str | list[str | int] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: int | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None = None
    stop: str | list[str] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, object]] | None = None
    tool_choice: str | dict[str, object] | None = None


class _JobInput(msgspec.Struct, frozen=True, kw_only=True):
    openai_route: str = ""
    openai_input: dict[str, object] = {}


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a request to generate text. `body` is for llama.cpp, always a stream: only streams can be stopped."""

    is_chat: bool
    body: bytes
    alternatives: int
    stream: bool
    includes_usage: bool


class ListModels(msgspec.Struct, frozen=True, kw_only=True):
    """Represent a request for the list of models."""


def read(job_input: object) -> Generate | ListModels:
    """Parse a job's input.

    Raises:
        RequestError: This worker cannot do what the job asks.
    """
    try:
        job = msgspec.convert(job_input, _JobInput)
        match job.openai_route:
            case "/v1/models":
                return ListModels()
            case "/v1/chat/completions" | "/v1/completions":
                return _generate(
                    msgspec.convert(job.openai_input, _Request),
                    is_chat=job.openai_route == "/v1/chat/completions",
                )
            case other:
                raise RequestError(f"Invalid route: {other!r}.", status=404, kind="NotFoundError")
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise RequestError(str(error)) from error


def _generate(request: _Request, *, is_chat: bool) -> Generate:
    _check(request, is_chat=is_chat)
    options = request.stream_options
    return Generate(
        is_chat=is_chat,
        body=msgspec.json.encode(_model_body(request, is_chat=is_chat)),
        alternatives=request.n or 1,
        stream=request.stream,
        includes_usage=options is not None and options.include_usage,
    )


def _check(request: _Request, *, is_chat: bool) -> None:
    if request.model != MODEL_NAME:
        raise RequestError(f"The model `{request.model}` does not exist.", status=404, kind="NotFoundError")
    if is_chat and not request.messages:
        raise RequestError("`messages` must hold at least one message.")
    if not is_chat and not request.prompt:
        raise RequestError("`prompt` must not be empty.")
    if not is_chat and request.logprobs:
        raise RequestError("`logprobs` are served for chats only.")
    if request.tools and request.tool_choice != "none":
        raise RequestError("This model calls no tools: leave `tools` out, or set `tool_choice` to `none`.")


def _model_body(request: _Request, *, is_chat: bool) -> dict[str, object]:
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    body: dict[str, object] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        # An event after every batch of the prompt, so that a long prompt can be stopped too.
        "return_progress": True,
        "max_tokens": request.max_completion_tokens or request.max_tokens or MAX_TOKENS_DEFAULT,
    }
    if is_chat:
        body |= {"messages": request.messages, "stop": [*stops, *CHAT_STOPS]}
    else:
        body |= {"prompt": request.prompt, "stop": stops}
    return body | {name: value for name in _PASSED_ON if (value := getattr(request, name)) is not None}
