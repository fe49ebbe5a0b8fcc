from gateway.translate.retelling import Retelling
from tests.factories import fields_of


def tellings(*ids: str | None) -> list[bool]:
    retelling = Retelling()
    return [retelling.begins_with(fields_of({} if each == "absent" else {"id": each})) for each in ids]


def test_one_id_is_one_telling() -> None:
    assert tellings("a", "a", "a") == [False, False, False]


def test_another_id_after_a_steady_one_begins_anew() -> None:
    assert tellings("a", "a", "b", "b", "b") == [False, False, True, False, False]


def test_a_worker_that_names_every_chunk_anew_tells_once() -> None:
    assert not any(tellings("a", "b", "c", "d"))


def test_chunks_without_an_id_belong_to_the_telling_before_them() -> None:
    assert not any(tellings("a", "absent", "a", None, "", "a"))
