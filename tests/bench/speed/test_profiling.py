"""Stacks become shares."""

from bench.speed.profiling import summary

STACKS = [
    "run (gateway/__main__.py:7);serve (a.py:1);read (b.py:2) 30",
    "run (gateway/__main__.py:7);serve (a.py:9);read (b.py:3) 50",
    "run (gateway/__main__.py:7);serve (a.py:9) 20",
    "wait (threading.py:1) 1000",
]


def test_functions_are_ranked_by_their_own_time_and_with_what_they_call() -> None:
    own, with_callees = summary(STACKS).split("\n\n")
    assert own.splitlines() == ["own time", " 80.0 %  read (b.py)", " 20.0 %  serve (a.py)"]
    assert "100.0 %  serve (a.py)" in with_callees
    assert "threading" not in own
