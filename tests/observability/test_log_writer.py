"""The writer thread, with files that block for as long as a test likes. No test waits for a time to pass."""

import os
import threading

import pytest
import structlog

from gateway.observability.log_queue import LineQueue
from gateway.observability.log_writer import LogWriter, QueuedText, QueueLogger, file_writer
from tests.waiting import BOUND_S


class File:
    """What a writer writes to: held until the test lets go, and broken as often as the test says."""

    def __init__(self) -> None:
        self.written = b""
        self.may_write = threading.Event()
        self.is_held = threading.Event()
        self.faults = 0
        self.fault: Exception = OSError("no space left")

    def write(self, data: bytes) -> None:
        self.is_held.set()
        assert self.may_write.wait(BOUND_S)
        if self.faults:
            self.faults -= 1
            raise self.fault
        self.written += data


class Logged:
    """A writer of a file, and what it reported."""

    def __init__(self, **bounds: int) -> None:
        self.file = File()
        self.reports: list[int] = []
        self.failing_reports = 0
        self.queue = LineQueue(**bounds)
        self.writer = LogWriter(self.file.write, report_dropped=self.report, queue=self.queue, gather_s=0)
        self.writer.start()

    def report(self, count: int) -> None:
        if self.failing_reports:
            self.failing_reports -= 1
            raise MemoryError
        self.reports.append(count)
        self.writer.put(f"dropped {count}")

    def block(self) -> None:
        """Let the thread begin a write that does not end."""
        self.writer.put("first")
        assert self.file.is_held.wait(BOUND_S)

    def end(self) -> list[str]:
        self.file.may_write.set()
        assert self.writer.close(BOUND_S)
        return self.file.written.decode().splitlines()


def test_lines_are_written_in_order() -> None:
    logged = Logged()
    for number in range(1000):
        logged.writer.put(str(number))
    assert logged.end() == [str(number) for number in range(1000)]
    assert logged.writer.dropped == 0


def test_a_blocked_file_holds_up_nobody_and_the_loss_is_reported_once() -> None:
    logged = Logged(lines_max=10)
    logged.block()
    for number in range(100):
        logged.writer.put(str(number))
    assert logged.writer.dropped == 90
    assert logged.reports == []
    assert logged.end() == ["first", *map(str, range(10)), "dropped 90"]
    assert logged.reports == [90]


def test_errors_are_kept_in_preference() -> None:
    logged = Logged(lines_max=3)
    logged.block()
    for number in range(10):
        logged.writer.put(str(number))
    logged.writer.put("error", is_urgent=True)
    assert logged.end() == ["first", "0", "1", "error", "dropped 8"]


def test_a_file_that_stays_blocked_does_not_hold_up_the_end() -> None:
    logged = Logged()
    logged.block()
    assert not logged.writer.close(0)
    logged.end()


@pytest.mark.parametrize("fault", [OSError("no space left"), MemoryError(), ValueError("closed")])
def test_what_could_not_be_written_is_lost_and_reported(fault: Exception) -> None:
    logged = Logged()
    logged.file.faults, logged.file.fault = 1, fault
    logged.block()
    logged.writer.put("second")
    assert logged.end() == ["second", "dropped 1"]
    assert logged.writer.dropped == 1


def test_a_report_that_failed_is_made_with_the_next_lines() -> None:
    logged = Logged()
    logged.file.faults = logged.failing_reports = 1
    logged.block()
    logged.queue.put(b"x" * 64 * 1024, is_urgent=False)
    logged.queue.put(b"y\n", is_urgent=False)
    assert logged.end()[1:] == ["dropped 1"]
    assert logged.reports == [1]


def test_a_file_that_never_takes_anything_is_given_no_reports() -> None:
    logged = Logged()
    logged.file.faults = 1_000_000
    logged.block()
    assert logged.end() == []
    assert (logged.reports, logged.writer.dropped) == ([], 1)


def test_a_pipe_that_another_process_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 1_000_000
    thread = threading.Thread(target=file_writer(writing), args=(data,))
    thread.start()
    received = b""
    while len(received) < len(data):
        received += os.read(reading, 65536)
    thread.join(BOUND_S)
    assert received == data
    os.close(reading)
    os.close(writing)


def test_what_is_printed_is_queued_line_by_line_as_urgent() -> None:
    logged = Logged(lines_max=2)
    logged.block()
    text = QueuedText(logged.writer, 2)
    logged.writer.put("info")
    logged.writer.put("info")
    print("Traceback", "here", file=text)
    text.write("a half")
    text.write(" line\n\udcff\n")
    text.flush()
    assert (text.fileno(), text.writable()) == (2, True)
    assert logged.end()[:3] == ["first", "Traceback here", "a half line"]


def test_a_line_without_an_end_is_bounded() -> None:
    logged = Logged()
    text = QueuedText(logged.writer, 2)
    for _ in range(200):
        text.write("x" * 1000)
    assert len(text._part) <= 64 * 1024
    assert sum(map(len, logged.end())) + len(text._part) == 200_000


def test_a_closed_descriptor_is_no_terminal() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert not QueuedText(Logged().writer, writing).isatty()


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "exception"])
def test_levels_from_error_on_are_urgent(level: str) -> None:
    logged = Logged(lines_max=1)
    logged.block()
    logger = QueueLogger(logged.writer)
    logger.info("ordinary")
    getattr(logger, level)("line")
    is_kept = "line" in logged.end()
    assert is_kept == (level in {"error", "critical", "exception"})


def test_every_level_of_structlog_is_known() -> None:
    bound = structlog.make_filtering_bound_logger(0)
    levels = {"debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "log", "msg"}
    assert levels & set(dir(bound)) <= set(dir(QueueLogger))


def test_a_warning_amid_a_put_does_not_lock_the_process_up() -> None:
    """Python may collect garbage at any allocation, and what is collected may print."""
    logged = Logged()
    logged.file.may_write.set()

    class Queue(LineQueue):
        def put(self, line: bytes, *, is_urgent: bool) -> None:
            if line == b"outer\n":
                logged.writer.put("inner")
            super().put(line, is_urgent=is_urgent)

    logged.writer._queue = Queue()
    putting = threading.Thread(target=logged.writer.put, args=("outer",), daemon=True)
    putting.start()
    putting.join(BOUND_S)
    assert not putting.is_alive()
    assert logged.end() == ["inner", "outer"]
