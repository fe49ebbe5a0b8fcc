import msgspec
import pytest

from gateway.wire.items import COMMAS_MAX, ITEMS_MAX, ItemCount, TooManyItemsError, decode_items
from gateway.wire.malformed import MALFORMED


def test_values_stay_as_they_are_written() -> None:
    assert [bytes(item) for item in decode_items(b'["a", {"b" :1},[ ]]')] == [b'"a"', b'{"b" :1}', b"[ ]"]
    assert decode_items(b"[]") == []


@pytest.mark.parametrize("count", [ITEMS_MAX, ITEMS_MAX + 1, COMMAS_MAX + 2])
def test_a_list_has_so_many_values_and_no_more(count: int) -> None:
    body = b"[" + b"1," * (count - 1) + b"1]"
    if count <= ITEMS_MAX:
        assert len(decode_items(body)) == count
    else:
        with pytest.raises(TooManyItemsError):
            decode_items(body)


def test_commas_in_texts_are_no_values() -> None:
    assert len(decode_items(b'["' + b"," * (COMMAS_MAX // 2) + b'"]')) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[1,]", b'"a"'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_items(body)


def test_it_is_one_of_the_errors_of_what_cannot_be_read() -> None:
    assert issubclass(TooManyItemsError, MALFORMED)


def test_each_call_is_counted_by_itself() -> None:
    count = ItemCount()
    for _ in range(2):
        with count.bounded():
            for _ in range(ITEMS_MAX):
                count.add()
            with pytest.raises(TooManyItemsError):
                count.add()
