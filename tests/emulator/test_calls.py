import anyio
import pytest

from gateway.emulator.calls import DRAINED_TIMES_MAX, BodyTooLargeError, Call, CallLog, CallRecord
from gateway.emulator.endpoint import Endpoint
from gateway.emulator.faults import FaultPlan, Faults
from gateway.emulator.settings import EmulatorSettings
from tests.virtual_time import LoopClock


async def nowhere(message) -> None:
    raise AssertionError(message)


def a_call(*messages: dict, query_string: bytes = b"") -> Call:
    """A call whose caller sends these messages and then neither sends nor leaves."""
    left = list(messages)

    async def receive():
        if not left:
            await anyio.sleep_forever()
        return left.pop(0)

    endpoint = Endpoint("ep", settings=EmulatorSettings(), plan=FaultPlan(Faults()), clock=LoopClock())
    return Call(endpoint, method="POST", rest="", query_string=query_string, receive=receive, send=nowhere)


def part(body: bytes, *, more: bool = False) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts():
    call = a_call(part(b"ab", more=True), part(b"c"))
    assert await call.body(3) == b"abc"
    assert await call.body(3) == b""


async def test_a_body_that_is_too_long_is_read_to_its_end_before_it_is_refused():
    call = a_call(part(b"abc", more=True), part(b"d"))
    with pytest.raises(BodyTooLargeError):
        await call.body(2)
    assert not call.caller_left()


async def test_a_body_that_does_not_end_is_given_up():
    call = a_call(*[part(b"abcd", more=True)] * (DRAINED_TIMES_MAX + 2))
    with pytest.raises(BodyTooLargeError):
        await call.body(4)


@pytest.mark.parametrize(
    ("messages", "left"),
    [
        ([], False),
        ([part(b"")], False),
        ([{"type": "http.disconnect"}], True),
        ([part(b""), {"type": "http.disconnect"}], True),
    ],
)
async def test_whether_the_caller_has_left(messages, left):
    assert a_call(*messages).caller_left() is left


def test_parameters_of_the_query_string():
    call = a_call(query_string=b"wait=5&empty=&x=a%20b")
    assert [call.query(name) for name in ("wait", "x", "absent")] == ["5", "a b", None]
    assert a_call().query("wait") is None


def test_the_log_keeps_the_newest_calls():
    log = CallLog(2)
    for number in range(3):
        log.add(CallRecord(at_s=number, endpoint="ep", operation="run", method="POST", job_id="", status=200))
    assert [record.at_s for record in log.records()] == [1, 2]
    log.clear()
    assert log.records() == []
