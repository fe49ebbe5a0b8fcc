"""Decide what a scripted worker does with a job's input: outputs, pauses, result and error. Pure."""

from collections.abc import Iterator

import msgspec

from gateway.emulator.faults import PRESTART_ENDS, FailWith, FaultPlan
from gateway.emulator.script.answer import Answer, ModelError, check_model, compose
from gateway.emulator.script.dialects import (
    Slicing,
    event_outputs,
    legacy_outputs,
    legacy_result,
    text_outputs,
    token_outputs,
    whole_output,
)
from gateway.emulator.script.failures import BAD_INPUT, bad_output, cut_short, fault_error, job_error
from gateway.emulator.script.openai import (
    DEFAULT_MODEL,
    Heading,
    Step,
    chat_body,
    chat_steps,
    completion_body,
    completion_steps,
    embeddings_body,
    encode,
    models_body,
)
from gateway.emulator.script.requests import (
    Kind,
    ModelRequest,
    ScriptRequest,
    UnknownInputError,
    read_request,
)
from gateway.emulator.settings import Dialect, EmulatorSettings

RAW_TOKENS = {Dialect.TOKENS: 100, Dialect.LEGACY: 256}
"""Default `max_tokens` of raw inputs, by dialect: the cause of many truncated answers."""
OPENAI_DIALECTS = frozenset({Dialect.VLLM, Dialect.VLLM_BATCHED, Dialect.VLLM_DICTS, Dialect.SGLANG})
REFUSALS = {
    Dialect.VLLM: FailWith.VLLM_HTTP,
    Dialect.SGLANG: FailWith.FLAT_ERROR,
}
"""Failure with which a dialect passes on the model server's refusal; other dialects yield an error, which fails the
job."""


class Play(msgspec.Struct, kw_only=True):
    """Describe one dispatch: a step every `interval_s` seconds, then the end of the job."""

    steps: Iterator[Step]
    interval_s: float = 0.0
    result: bytes | None = None
    """JSON that /status shows instead of the list of all outputs."""
    error: str = ""
    """Error with which the job fails after the steps; empty completes it."""
    has_metrics: bool = False
    """True if stream items carry `metrics` beside the output, as in 2023."""
    is_mute: bool = False
    """True if the job is COMPLETED without output, and nothing is streamed."""
    ends_prestart: bool = False
    """True if a prestart hook failed, and not this job alone."""
    deaths: int | None = None
    """Number of dispatches that end with the worker's death, if the request sets it."""


def play(job_input: bytes, answer_id: str, settings: EmulatorSettings, *, plan: FaultPlan, unix_s: float) -> Play:
    """Decide the outputs, pauses and outcome of one dispatch of a job."""
    try:
        request = read_request(job_input)
    except (UnknownInputError, msgspec.DecodeError) as error:
        refusal = ModelError(400, "BadRequestError", BAD_INPUT if isinstance(error, UnknownInputError) else str(error))
        return _refused(refusal, settings)
    steering, faults = request.steering, plan.faults
    try:
        chosen = _perform(request, answer_id, settings, plan=plan, unix_s=unix_s)
    except ModelError as error:
        return _refused(error, settings)
    chosen.interval_s = _interval_s(request, settings)
    chosen.deaths = steering.deaths
    kind = FailWith(steering.fail) if steering.fail in set(FailWith) else plan.failure()
    if kind is FailWith.NOTHING:
        return chosen
    after = faults.fail_after_outputs if steering.fail_after is None else steering.fail_after
    status = faults.fail_status if steering.fail_status is None else steering.fail_status
    stdout = f"INFO: received {request.model_request.text}\n"
    return _spoilt(chosen, kind, error=fault_error(status), after=after, stdout=stdout)


def _perform(
    request: ScriptRequest, answer_id: str, settings: EmulatorSettings, *, plan: FaultPlan, unix_s: float
) -> Play:
    model_request, dialect = request.model_request, settings.dialect
    if request.kind is Kind.MODELS:
        return _whole(models_body(settings.models, int(unix_s)), dialect)
    if request.kind is Kind.EMBEDDING:
        check_model(model_request, settings)
        return _whole(embeddings_body(model_request, dimensions=settings.embedding_dimensions), dialect)
    answer = compose(request, settings, tokens_max=RAW_TOKENS.get(dialect) if request.is_raw else None)
    if dialect not in OPENAI_DIALECTS:
        return _raw(answer, dialect, is_stream=bool(model_request.stream))
    name = model_request.model or next(iter(settings.models), DEFAULT_MODEL)
    heading = Heading(id=f"chatcmpl-{answer_id}", created=int(unix_s), model=name)
    slicing = Slicing(
        seed=answer_id,
        slice_bytes=plan.faults.slice_bytes,
        cuts_characters=plan.faults.cut_characters,
        by_event=settings.slices == "events" and not plan.faults.slice_bytes and not plan.faults.cut_characters,
    )
    return _openai(request, answer, heading, dialect=dialect, slicing=slicing)


def _openai(request: ScriptRequest, answer: Answer, heading: Heading, *, dialect: Dialect, slicing: Slicing) -> Play:
    is_chat = request.kind is Kind.CHAT
    if not request.model_request.stream:
        body = chat_body(answer, heading) if is_chat else completion_body(answer, heading)
        pauses: list[Step] = [[] for _ in range(answer.completion_tokens)]
        return Play(steps=iter([*pauses, [whole_output(body, dialect)]]))
    steps_of = chat_steps if is_chat else completion_steps
    steps = steps_of(answer, heading, with_usage=_wants_usage(request.model_request))
    return Play(steps=event_outputs(steps, dialect, slicing))


def _raw(answer: Answer, dialect: Dialect, *, is_stream: bool) -> Play:
    match dialect:
        case Dialect.TOKENS:
            return Play(steps=token_outputs(answer, is_stream=is_stream))
        case Dialect.LEGACY:
            return Play(steps=legacy_outputs(answer), result=legacy_result(answer), has_metrics=True)
        case _ if is_stream:
            return Play(steps=text_outputs(answer))
        case _:
            pauses: list[Step] = [[] for _ in answer.choices[0].tokens]
            return Play(steps=iter(pauses), result=encode(answer.choices[0].text))


def _whole(body: bytes, dialect: Dialect) -> Play:
    return Play(steps=iter([[whole_output(body, dialect)]]))


def _refused(error: ModelError, settings: EmulatorSettings) -> Play:
    kind = REFUSALS.get(settings.dialect, FailWith.YIELDED)
    if error.message == BAD_INPUT:
        return Play(steps=iter([]), error=str({"message": BAD_INPUT, "type": "worker_error", "code": None}))
    return _spoilt(Play(steps=iter([])), kind, error=error, after=0)


def _spoilt(chosen: Play, kind: FailWith, *, error: ModelError, after: int, stdout: str = "") -> Play:
    if kind is FailWith.NO_OUTPUT:
        chosen.is_mute = True
        return chosen
    chosen.result = None
    chosen.ends_prestart = kind in PRESTART_ENDS
    steps = cut_short(chosen.steps, 0 if chosen.ends_prestart else after)
    output = bad_output(kind, error)
    if output is None:
        chosen.steps, chosen.error = steps, job_error(kind, error, stdout=stdout)
    else:
        chosen.steps = _followed_by(steps, output)
    return chosen


def _followed_by(steps: Iterator[Step], output: bytes) -> Iterator[Step]:
    yield from steps
    yield [output]


def _wants_usage(request: ModelRequest) -> bool:
    return request.stream_options is not None and request.stream_options.include_usage


def _interval_s(request: ScriptRequest, settings: EmulatorSettings) -> float:
    if request.steering.interval is not None:
        return max(0.0, request.steering.interval)
    is_slow = "slowly" in request.model_request.text.lower()
    return settings.slow_token_interval_s if is_slow else settings.token_interval_s
