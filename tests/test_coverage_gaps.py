"""The list of what unit tests may leave out: exact in both directions, and untouched by what changes around a gap."""

import textwrap
from typing import Any

import pytest
import yaml

from scripts.coverage_gaps import LIST, NEW_REASON, Gap, compared, gaps, is_pure, read, written

TEXT = textwrap.dedent(
    """\
    LEVEL = 1
    if LEVEL:
        LEVEL = 2


    class Meter:
        def read(self, given):
            if given:
                return 1
            return 0

        def stop(self):
            def inner():
                return 1

            return inner
    """
)
REPORTED: dict[str, list[Any]] = {"missing_lines": [3, 14], "missing_branches": [[2, 3], [8, 10], [8, -7], [14, -13]]}
NAME = "gateway/wire/meter.py"
FOUND = [
    Gap(NAME, "", "LEVEL = 2"),
    Gap(NAME, "Meter.stop.inner", "return 1"),
    Gap(NAME, "Meter.read", "if given:", "return 0"),
    Gap(NAME, "Meter.read", "if given:", "exit"),
]


def test_gaps_are_told_by_their_text_and_not_twice() -> None:
    """A branch to a line that is never run, or from one, is no gap beside the line."""
    assert gaps(NAME, TEXT, REPORTED) == FOUND
    assert gaps(NAME, TEXT, {"missing_lines": [], "missing_branches": []}) == []


def test_lines_that_come_before_change_nothing() -> None:
    moved = {
        "missing_lines": [number + 2 for number in REPORTED["missing_lines"]],
        "missing_branches": [
            [begin + 2, end + 2 if end > 0 else end - 2] for begin, end in REPORTED["missing_branches"]
        ],
    }
    assert gaps(NAME, f"# New.\n\n{TEXT}", moved) == FOUND


def test_what_is_new_and_what_is_closed_is_said() -> None:
    listed = [*FOUND[1:], Gap(NAME, "Meter.read", "return 2")]
    new, closed = compared(FOUND, listed)
    assert "module: `LEVEL = 2` is never run. Test it" in new[0]
    assert "Meter.read: `return 2` is never run: no gap any more" in closed[0]
    assert compared(FOUND, FOUND[::-1]) == ([], [])
    # The same text at two places of a function.
    assert len(compared([*FOUND, FOUND[0]], FOUND)[0]) == 1


def test_reasons_are_kept_and_new_gaps_have_none() -> None:
    text = written([*FOUND, FOUND[0]], [(FOUND[0], "first"), (FOUND[2], "third"), (Gap(NAME, "gone", "x"), "gone")])
    listed = read(text)
    assert sorted(gap for gap, _ in listed) == sorted([*FOUND, FOUND[0]])
    assert sorted(why for _, why in listed) == sorted(["first", "third", *[NEW_REASON] * 3])
    assert written([gap for gap, _ in listed], listed) == text
    assert read("") == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gateway/wire/sse.py", "import time", True),
        ("gateway/domain.py", "", True),
        ("gateway/api/body.py", "", False),
        ("gateway/jobs/job_policy.py", "import msgspec\nfrom gateway.domain import Job", True),
        ("gateway/admission/request_meter.py", "from gateway.admission.gate import Gate", False),
        ("gateway/exchange/record.py", "from gateway.clock import Clock", False),
        ("gateway/exchange/resolved_request.py", "import anyio.abc", False),
        ("gateway/exchange/timely.py", "import timeless", True),
        ("gateway/exchange/sink.py", "async def f(): ...", False),
    ],
)
def test_which_modules_are_pure(name: str, text: str, expected: bool) -> None:
    assert is_pure(name, text) is expected


def test_the_list_is_as_it_would_be_written() -> None:
    listed = read(LIST.read_text())
    assert written([gap for gap, _ in listed], listed) == LIST.read_text()
    assert all(is_pure(file, "") for file in yaml.safe_load(LIST.read_text()))
