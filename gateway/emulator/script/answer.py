"""Compose the scripted worker's answer to a request, by rules that a test can rely on. Pure.

Special words in the last user message (or prompt):

- `count to 7` is answered with the numbers 1 to 7.
- `say "..."` is answered with exactly what is in the quotation marks.
- `slowly` paces the answer with `slow_token_interval_s`.
- The name of a requested tool, or a distinctive word of it, makes an answer under `tool_choice` auto call it.
- Anything else is answered with "You said: " and the message; a tool's result with "The tool answered: " and the
  result.

Words that steer the worker, in the message or in the model name:

- `#fail=KIND` fails the job in one of the ways of `FailWith`; `#fail-status=404` and `#fail-after=3` go with it.
- `#deaths=1` lets the worker die on this many dispatches, after `death_after_outputs`; the job is dispatched again.
- `#interval=0.2` paces the answer with this many seconds for each token.
"""

import json
import re

import msgspec

from gateway.emulator.schema import Filler, Schema, quoted_words
from gateway.emulator.script.requests import Kind, ModelRequest, NamedChoice, ScriptRequest, Tool, texts
from gateway.emulator.settings import EmulatorSettings

COUNT_MAX = 100_000
CHOICES_MAX = 128
COMPLETION_TOKENS = 16
"""Default `max_tokens` of /v1/completions, as in vLLM."""

_TOKEN = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
_WORD = re.compile(r"\w+")
_COUNT = re.compile(r"\bcount to (\d+)")
_COMMON_WORDS = frozenset({"tool", "function", "call", "name", "with", "from", "args"})


class ModelError(Exception):
    """Signal that the model server refuses the request with an OpenAI error."""

    def __init__(self, status: int, kind: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param


class ToolCall(msgspec.Struct, frozen=True):
    """Represent one function call; `arguments` is JSON text."""

    name: str
    arguments: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one alternative of an answer."""

    tokens: list[str]
    tool_calls: list[ToolCall] = []
    finish_reason: str = "stop"
    echoed: str = ""
    """Prompt before the tokens, if `echo` requests it. It counts as prompt in the usage."""

    @property
    def pieces(self) -> list[str]:
        """Return the pieces that a stream sends, in order."""
        return [self.echoed, *self.tokens] if self.echoed else self.tokens

    @property
    def text(self) -> str:
        """Return the complete text."""
        return self.echoed + "".join(self.tokens)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the complete answer of a generating route to one request."""

    choices: list[Choice]
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """Return the tokens of all choices; a tool call counts one for its name and one per word of its arguments."""
        return sum(
            len(choice.tokens) + sum(1 + len(call.arguments.split()) for call in choice.tool_calls)
            for choice in self.choices
        )


def compose(script_request: ScriptRequest, settings: EmulatorSettings, *, tokens_max: int | None = None) -> Answer:
    """Compose the answer to a chat or a completion. `tokens_max` is the worker's default for `max_tokens`.

    Raises:
        ModelError: The model server would refuse the request.
    """
    request = script_request.model_request
    check_model(request, settings)
    prompts = [message.text for message in request.messages or ()] or texts(request.prompt)
    prompt_tokens = max(1, sum(len(prompt.split()) for prompt in prompts))
    _check_limits(request, settings, prompt_tokens=prompt_tokens)
    count = request.n or 1
    if script_request.kind is Kind.COMPLETION:
        tokens_max = tokens_max or COMPLETION_TOKENS
        # Choice k of prompt p has the index p * n + k, as in vLLM's completion server and OpenAI's API.
        choices = [
            _written(request, _speak(prompt), tokens_max, echoed=prompt if request.echo else "")
            for prompt in prompts
            for _ in range(count)
        ]
    else:
        calls = _tool_calls(request)
        choices = [calls] * count if calls else [_written(request, _chat_text(request), tokens_max)] * count
    return Answer(choices=choices, prompt_tokens=prompt_tokens)


def check_model(request: ModelRequest, settings: EmulatorSettings) -> None:
    """Check that the requested model is served, as vLLM does.

    Raises:
        ModelError: It is not served: 404.
    """
    name = request.model.partition("#")[0]
    if settings.models and name and name not in settings.models:
        raise ModelError(404, "NotFoundError", f"The model `{name}` does not exist.", param="model")


def _check_limits(request: ModelRequest, settings: EmulatorSettings, *, prompt_tokens: int) -> None:
    if not request.messages and not texts(request.prompt):
        raise ModelError(400, "BadRequestError", "There is neither a message nor a prompt.", param="messages")
    if request.n is not None and not 1 <= request.n <= CHOICES_MAX:
        raise ModelError(400, "BadRequestError", f"n must be between 1 and {CHOICES_MAX}.", param="n")
    if request.stream_options is not None and not request.stream:
        message = "Stream options can only be defined when `stream=True`."
        raise ModelError(400, "BadRequestError", message, param="stream_options")
    tokens_max = settings.context_tokens_max
    if tokens_max and prompt_tokens > tokens_max:
        message = f"This model's maximum context length is {tokens_max} tokens, the prompt has {prompt_tokens}."
        raise ModelError(400, "BadRequestError", message, param="input_tokens")


def _written(request: ModelRequest, text: str, tokens_max: int | None, *, echoed: str = "") -> Choice:
    """Build a choice from the text, cut at a stop sequence or the length limit.

    `max_tokens` 0 generates nothing, which with `echo` leaves the prompt alone (vLLM). A negative one is no limit
    (llama.cpp, LM Studio).
    """
    cuts = [text.find(stop) for stop in request.stops if stop in text]
    tokens = _TOKEN.findall(text[: min(cuts, default=len(text))])
    asked_max = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    length_max = tokens_max if asked_max is None else asked_max
    if length_max is not None and length_max >= 0 and (len(tokens) > length_max or not length_max):
        return Choice(tokens=tokens[:length_max], finish_reason="length", echoed=echoed)
    return Choice(tokens=tokens, echoed=echoed)


def _chat_text(request: ModelRequest) -> str:
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is not None:
        return _json(Filler(wanted.json_schema.schema, request.text).fill())
    if request.guided_json is not None:
        return _json(Filler(request.guided_json, request.text).fill())
    if wanted is not None and wanted.type == "json_object":
        names = quoted_words(request.text) or ["answer"]
        return _json({name: f"{name} of what you said" for name in names})
    last = request.messages[-1] if request.messages else None
    if last is not None and last.role == "tool":
        return f"The tool answered: {last.text}"
    return _speak(request.text)


def _speak(text: str) -> str:
    count = _COUNT.search(text.lower())
    if count is not None:
        return " ".join(str(number) for number in range(1, min(int(count[1]), COUNT_MAX) + 1))
    if 'say "' in text:
        return text.partition('say "')[2].rpartition('"')[0] or "nothing"
    return f"You said: {text}"


def _tool_calls(request: ModelRequest) -> Choice | None:
    """Build the choice that calls tools, or return None if the request and its last message ask for no call."""
    tools = request.tools or []
    if not tools or not request.messages or request.messages[-1].role == "tool":
        return None
    choice = request.tool_choice or "auto"
    if isinstance(choice, NamedChoice):
        named = [tool for tool in tools if tool.function.name == choice.function.name]
        if not named:
            raise ModelError(
                400, "BadRequestError", "The tool named in tool_choice is not in tools.", param="tool_choice"
            )
        # vLLM ends a named call with "stop".
        return _call(named[:1], request, finish_reason="stop")
    mentioned = [tool for tool in tools if _mentions(request.text, tool)]
    if choice == "required":
        mentioned = mentioned or tools[:1]
    if choice == "none" or not mentioned:
        return None
    return _call(mentioned[:1] if request.parallel_tool_calls is False else mentioned, request)


def _call(tools: list[Tool], request: ModelRequest, *, finish_reason: str = "tool_calls") -> Choice:
    calls = [
        ToolCall(
            tool.function.name,
            _json(Filler(tool.function.parameters or Schema(type="object"), request.text).fill()),
        )
        for tool in tools
    ]
    return Choice(tokens=[], tool_calls=calls, finish_reason=finish_reason)


def _mentions(text: str, tool: Tool) -> bool:
    said = _WORD.findall(text.lower().replace("_", " "))
    name = _WORD.findall(tool.function.name.lower().replace("_", " "))
    distinctive = {word for word in name if len(word) >= 4 and word not in _COMMON_WORDS}
    return f" {' '.join(name)} " in f" {' '.join(said)} " or not distinctive.isdisjoint(said)


def _json(value: object) -> str:
    """Encode as JSON with spaces, so that it splits into tokens like prose."""
    return json.dumps(value, ensure_ascii=False)
