"""Define what an exchange asks its driver to do. Each action is reported back by the event that it names."""

import msgspec

from gateway.endpoints.actions import AwaitPermit, Pause, Send
from gateway.jobs.job import Job


class Write(msgspec.Struct, frozen=True, eq=False):
    """Send a part of a stream to the client, then report `written`. Without data, let other tasks run first."""

    data: bytes


class Finish(msgspec.Struct, frozen=True, eq=False):
    """Send the last part of a stream, or the whole body, then report `written`."""

    data: bytes


class AskJournal(msgspec.Struct, frozen=True, eq=False):
    """Ask whether another process took a failed job over, then report `journal_answered`."""

    job: Job


Action = AwaitPermit | Pause | Send | Write | Finish | AskJournal
