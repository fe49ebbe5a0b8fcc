import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import DONE, KEEP_ALIVE, EventReader, Events, EventTooLargeError, OddEvent, encode_event

ODD = (
    b"\xef\xbb\xbfdata: first\n\n"
    b": a comment\n\n"
    b"event: message\r\nid: 7\r\nretry: 3000\r\ndata: {\r\ndata: \xe2\x82\xac\r\ndata:}\r\n\r\n"
    b"data:no space\n\n\n\n"
    b"data: \n\n"
    b"data: line\xe2\x80\xa8separator\r\r"
    b"data: [DONE]\n\n"
)
ODD_DATA = [b"first", b"{\n\xe2\x82\xac\n}", b"no space", b"line\xe2\x80\xa8separator", b"[DONE]"]


def read_all(pieces: list[bytes]) -> Events:
    reader = EventReader()
    return [data for piece in pieces for data in reader.feed(piece)] + reader.end()


def test_odd_but_legal_events_are_read() -> None:
    assert read_all([ODD]) == ODD_DATA


@pytest.mark.parametrize("offset", range(len(ODD) + 1))
def test_a_cut_at_any_byte_changes_nothing(offset: int) -> None:
    assert read_all([ODD[:offset], ODD[offset:]]) == ODD_DATA


def test_byte_by_byte_changes_nothing() -> None:
    assert read_all([ODD[at : at + 1] for at in range(len(ODD))]) == ODD_DATA


@given(st.lists(st.binary(min_size=1).filter(lambda data: not {10, 13} & set(data) and data.strip()), max_size=5))
def test_what_is_encoded_is_read_back(datas: list[bytes]) -> None:
    assert read_all([b"".join(encode_event(data) for data in datas)]) == datas


def test_line_ends_may_be_mixed_and_cut() -> None:
    assert read_all([b"data: a\r", b"\n", b"\n", b"data: b\r", b"", b"\r", b"data: c\n\r\n"]) == [b"a", b"b", b"c"]


def test_an_event_without_its_blank_line_is_given_at_the_end() -> None:
    reader = EventReader()
    assert reader.feed(b"data: whole\n\ndata: half") == [b"whole"]
    assert reader.end() == [b"half"]
    assert reader.end() == []


def test_an_event_that_never_ends_is_refused() -> None:
    reader = EventReader(event_bytes_max=100)
    reader.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLargeError):
        reader.feed(b"x" * 90)


def test_our_own_frames_carry_data_or_are_comments() -> None:
    # A frame with neither makes openai-python fail to decode an empty text.
    for frame in (DONE, KEEP_ALIVE, encode_event(b"{}")):
        assert frame.startswith((b"data: ", b": "))
        assert frame.endswith(b"\n\n")
        assert frame.count(b"\n") == 2


@pytest.mark.parametrize(
    "text", [b'ddata: {"error":1}', b"{", b'ta: {"a":1}', b'"}}]}', b"x: [1]", b'datadata: {"a":1}']
)
def test_what_is_no_event_is_not_passed_over(text: bytes) -> None:
    assert read_all([text + b"\n\n"]) == [OddEvent(text, is_error=False)]


def test_fields_and_names_without_meaning_are_ignored() -> None:
    odd = b": a comment\n\nevent: ping\n\nretry: 3\n\nid: 1\nfoo: bar\n\n\n\nping\n\nx-note: ok\n\n"
    assert read_all([odd]) == []


def test_a_cut_field_name_at_the_end_is_damage() -> None:
    assert read_all([b"data: a\n\ndat"]) == [b"a", OddEvent(b"dat", is_error=False)]


@pytest.mark.parametrize(
    "event",
    [
        b"event: error\ndata: {}",
        b"data: {}\nevent:error",
        b"event: Error \nid: 1\ndata: {}",
        b"event: exception\ndata: {}",
        b"event: failed\ndata: {}",
        b"event: response.failed\ndata: {}",
        b"event: server_error\ndata: {}",
        # llama.cpp writes a field of this name.
        b"error: {}",
        b"error:{}",
    ],
)
def test_an_error_by_its_name_is_told_from_data(event: bytes) -> None:
    assert read_all([event + b"\n\n", b"data: a\n\n"]) == [OddEvent(b"{}", is_error=True), b"a"]


@pytest.mark.parametrize("name", [b"error", b"failed", b"exception"])
def test_an_error_event_without_data_is_one(name: bytes) -> None:
    assert read_all([b"event: " + name + b"\n\n"]) == [OddEvent(b"", is_error=True)]


def test_other_names_are_no_errors() -> None:
    for name in (b"message", b"terror", b"error-free", b"ping"):
        assert read_all([b"event: " + name + b"\ndata: a\n\n", b"event: " + name + b"\n\n"]) == [b"a"]


def test_an_object_behind_a_cut_event_is_kept_with_it() -> None:
    for error in (b'{"error":1}', b'{ "error": 1}'):
        assert read_all([b'data: {"a\n' + error + b"\n\n"]) == [b'{"a\n' + error]
