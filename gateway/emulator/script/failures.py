"""Build the errors of failed jobs: the texts of workers and of the platform, and their place in the output. Pure."""

import json
from collections.abc import Iterator

from gateway.emulator.faults import FailWith
from gateway.emulator.script.answer import ModelError
from gateway.emulator.script.dialects import event
from gateway.emulator.script.openai import Step, encode

BAD_INPUT = "Job input must contain one of: openai_input (+openai_route), route (+body), or prompt/messages."

CAPTURED_CHARACTERS_MAX = 16 * 1024
"""Maximum number of characters of captured output that a worker sends: runpod-python 2.0.0rc2 rp_capture.py."""

_TRACEBACK = 'Traceback (most recent call last):\n  File "/src/handler.py", line 7, in handler\nRuntimeError: boom\n'
_HANDLER_ERROR = {
    "error_type": "<class 'RuntimeError'>",
    "error_message": "boom",
    "error_traceback": _TRACEBACK,
    "hostname": "unknown",
    "worker_id": "scripted-0",
}
_PRESTART_FAILED = {
    "event": "prestart_failed",
    "error_type": "RuntimeError",
    "error_message": "no weights",
    "error_traceback": _TRACEBACK.replace("handler", "load_model").replace("boom", "no weights"),
    "worker_id": "scripted-0",
    "runpod_version": "2.0.0rc2",
    "hook": "load_model",
    "logs": "loading /models/weights with token hf_emulated\n",
}
_PRESTART_CANCELLED = {
    "event": "prestart_cancelled",
    "error_type": "PrestartCancelled",
    "error_message": "worker shutdown began before prestart completed",
    "worker_id": "scripted-0",
    "runpod_version": "2.0.0rc2",
}
_KINDS = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError"}


def fault_error(status: int) -> ModelError:
    """Build the model server's error that a fault asks for."""
    return ModelError(status, _KINDS.get(status, "InternalServerError"), "A fault of the emulator says so.")


def error_object(error: ModelError) -> dict[str, object]:
    """Build the inner object of an OpenAI error as vLLM writes it; its code is a number."""
    return {"message": error.message, "type": error.kind, "param": error.param, "code": error.status}


def job_error(kind: FailWith, error: ModelError, *, stdout: str = "") -> str:
    """Build the `error` of a FAILED job. `stdout` is its worker's output, for the kinds that include it."""
    match kind:
        case FailWith.GENERATOR:
            return f"handler: boom \ntraceback: {_TRACEBACK}"
        case FailWith.GENERATOR_LOGS:
            return f"handler: boom \ntraceback: {_TRACEBACK}\nlogs:\n{stdout[-CAPTURED_CHARACTERS_MAX:]}"
        case FailWith.HANDLER:
            return json.dumps({**_HANDLER_ERROR, "runpod_version": "1.12.0"})
        case FailWith.HANDLER_LOGS:
            logs = stdout[-CAPTURED_CHARACTERS_MAX:]
            return json.dumps({**_HANDLER_ERROR, "runpod_version": "2.0.0rc2", "logs": logs})
        case FailWith.PRESTART_FAILED:
            return json.dumps(_PRESTART_FAILED)
        case FailWith.PRESTART_CANCELLED:
            return json.dumps(_PRESTART_CANCELLED)
        case FailWith.YIELDED:
            return str(error_object(error))
        case FailWith.VLLM_HTTP:
            body = json.dumps({"error": error_object(error)})
            message = f"vLLM returned HTTP {error.status}: {body}"
            return str({"message": message, "type": "worker_error", "code": None})
        case FailWith.VLLM_DIED:
            message = "Request to vLLM failed: Response payload is not completed: <TransferEncodingError: 400>"
            return str({"message": message, "type": "worker_error", "code": None})
        case _:
            return "job timed out after 1 retries"


def bad_output(kind: FailWith, error: ModelError) -> bytes | None:
    """Build the output with which a COMPLETED job reports an error; None for the other kinds."""
    if kind is FailWith.ERROR_EVENT:
        body = encode({"error": error_object(error)})
        # An empty line first: the outputs before may end in mid-event, and no server writes its error inside an event.
        return encode((b"\n\n" + event(body) + event(b"[DONE]")).decode())
    if kind is FailWith.FLAT_ERROR:
        return encode({"object": "error", **error_object(error)})
    return None


def cut_short(steps: Iterator[Step], outputs_max: int) -> Iterator[Step]:
    """Yield the steps of an answer up to `outputs_max` outputs."""
    left = outputs_max
    while left > 0:
        step = next(steps, None)
        if step is None:
            return
        yield step[:left]
        left -= len(step)
