import itertools
import json

import pytest

from gateway.emulator.faults import FailWith
from gateway.emulator.script.failures import CAPTURED_CHARACTERS_MAX, bad_output, cut_short, fault_error, job_error
from tests.emulator.support import from_repr, read_events

NOT_FOUND = fault_error(404)


def test_the_four_dialects_of_error():
    assert job_error(FailWith.GENERATOR, NOT_FOUND).startswith("handler: boom \ntraceback: Traceback")
    assert json.loads(job_error(FailWith.HANDLER, NOT_FOUND))["error_type"] == "<class 'RuntimeError'>"
    yielded = from_repr(job_error(FailWith.YIELDED, NOT_FOUND))
    assert (yielded["code"], yielded["type"], yielded["param"]) == (404, "NotFoundError", None)
    assert job_error(FailWith.PLATFORM, NOT_FOUND) == "job timed out after 1 retries"


def test_a_worker_that_captures_its_output_sends_the_end_of_it_along():
    error = job_error(FailWith.GENERATOR_LOGS, NOT_FOUND, stdout="INFO: received a secret\n")
    assert error.startswith("handler: boom \ntraceback: Traceback")
    assert error.endswith("RuntimeError: boom\n\nlogs:\nINFO: received a secret\n")
    logs = json.loads(job_error(FailWith.HANDLER_LOGS, NOT_FOUND, stdout="x" + "y" * CAPTURED_CHARACTERS_MAX))["logs"]
    assert logs == "y" * 16_384


def test_the_ends_of_a_prestart_hook():
    failed = json.loads(job_error(FailWith.PRESTART_FAILED, NOT_FOUND))
    assert (failed["event"], failed["hook"], failed["error_type"]) == ("prestart_failed", "load_model", "RuntimeError")
    assert failed["error_traceback"].endswith(f"RuntimeError: {failed['error_message']}\n")
    cancelled = json.loads(job_error(FailWith.PRESTART_CANCELLED, NOT_FOUND))
    assert (cancelled["event"], cancelled["error_type"]) == ("prestart_cancelled", "PrestartCancelled")
    assert set(failed) - set(cancelled) == {"error_traceback", "hook", "logs"}


def test_a_refusal_of_vllm_hides_its_status_and_body_in_the_text():
    error = from_repr(job_error(FailWith.VLLM_HTTP, NOT_FOUND))
    prefix, _, body = error["message"].partition(": ")
    assert prefix == "vLLM returned HTTP 404"
    assert json.loads(body)["error"]["code"] == 404
    assert (error["type"], error["code"]) == ("worker_error", None)


def test_vllm_dies():
    assert from_repr(job_error(FailWith.VLLM_DIED, NOT_FOUND))["message"].startswith("Request to vLLM failed: ")


def test_errors_in_completed_jobs():
    events = read_events(json.loads(bad_output(FailWith.ERROR_EVENT, NOT_FOUND)))
    assert (events[0]["error"]["code"], events[1]) == (404, "[DONE]")
    flat = json.loads(bad_output(FailWith.FLAT_ERROR, NOT_FOUND))
    assert (flat["object"], flat["code"]) == ("error", 404)
    assert "error" not in flat


@pytest.mark.parametrize("kind", [FailWith.GENERATOR, FailWith.VLLM_HTTP, FailWith.NO_OUTPUT])
def test_failed_jobs_have_no_bad_output(kind):
    assert bad_output(kind, NOT_FOUND) is None


@pytest.mark.parametrize(("outputs_max", "kept"), [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (9, "abcd")])
def test_cutting_short_counts_outputs(outputs_max, kept):
    steps = iter([[b"a"], [], [b"b", b"c"], [b"d"]])
    assert b"".join(itertools.chain.from_iterable(cut_short(steps, outputs_max))) == kept.encode()
