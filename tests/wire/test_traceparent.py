import pytest

from gateway.wire.traceparent import TraceParent, read_traceparent, root_flags

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_what_is_read_is_what_was_written() -> None:
    read = read_traceparent(GOOD.encode())
    assert read == TraceParent(trace_id=int(TRACE, 16), span_id=int(SPAN, 16), flags=1)
    assert read.encode() == GOOD


@pytest.mark.parametrize(
    ("flags", "kept", "is_sampled"),
    [("00", "00", False), ("01", "01", True), ("02", "02", False), ("03", "03", True), ("ff", "03", True)],
)
def test_flags_that_are_known_are_kept(flags: str, kept: str, is_sampled: bool) -> None:
    read = read_traceparent(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert read is not None
    assert read.encode() == f"00-{TRACE}-{SPAN}-{kept}"
    assert read.is_sampled is is_sampled


@pytest.mark.parametrize(
    "value",
    [GOOD.replace("00-", "cc-", 1), f"cc-{TRACE}-{SPAN}-01-what-comes-later", f"  {GOOD}\t", f"01-{TRACE}-{SPAN}-01-"],
)
def test_later_versions_are_read_as_far_as_they_are_known(value: str) -> None:
    assert read_traceparent(value.encode()) == read_traceparent(GOOD.encode())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-00",
        GOOD.replace("-", "_"),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.later",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 512}",
        f"cc-{TRACE}-{SPAN}-01-\nx",
        f"{GOOD},{GOOD}",
        "é" * 55,
    ],
)
def test_what_is_malformed_is_ignored(value: str) -> None:
    assert read_traceparent(value.encode()) is None


def test_a_trace_that_begins_here_has_a_random_id() -> None:
    assert (root_flags(is_sampled=True), root_flags(is_sampled=False)) == (3, 2)
