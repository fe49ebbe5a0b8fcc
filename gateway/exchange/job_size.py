"""Whether a request fits into a job: told before anything is sent, so that Runpod's own 413 is news of Runpod. Pure."""

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import BodyTooLargeError
from gateway.wire.openai import Fields, Parts, size_of

AROUND_BYTES = 128
"""What a submission has around its input: the policy with the longest times, and the names of both."""


def check_fields(fields: Fields) -> None:
    """Check a request before it waits for a turn: a worker is given these values, most of them once.

    Raises:
        BodyTooLargeError: They are more than a job may have.
    """
    _check(sum(map(size_of, fields.values())))


def fitting(job_input: Parts) -> Parts:
    """Return the input of a job that Runpod takes by its size.

    Raises:
        BodyTooLargeError: It is more than a job may have.
    """
    _check(sum(map(len, job_input)))
    return job_input


def _check(size: int) -> None:
    if size + AROUND_BYTES > JOB_BODY_BYTES_MAX:
        raise BodyTooLargeError(JOB_BODY_BYTES_MAX)
