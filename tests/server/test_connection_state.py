from types import SimpleNamespace
from typing import Any

import pytest

from gateway.server.connection_state import Answering, Reading, answering


@pytest.mark.parametrize(
    ("has_started", "is_complete", "state"),
    [
        (False, False, Answering.PENDING),
        (True, False, Answering.STARTED),
        (True, True, Answering.COMPLETE),
    ],
)
def test_how_far_a_request_is_answered(*, has_started: bool, is_complete: bool, state: Answering) -> None:
    cycle: Any = SimpleNamespace(response_started=has_started, response_complete=is_complete)
    assert answering(cycle) is state


def test_a_connection_without_a_request_answers_nothing() -> None:
    assert answering(None) is Answering.NONE


def test_a_request_is_incomplete_from_its_head_to_the_end_of_its_body() -> None:
    assert {each for each in Reading if each.is_in_message} == {Reading.HEAD, Reading.BODY}
