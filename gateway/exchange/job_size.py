"""Check the size of a request before anything is sent, so that a 413 can only come from Runpod. Pure."""

from gateway.domain import JOB_BODY_BYTES_MAX
from gateway.errors import BodyTooLargeError
from gateway.wire.openai import Fields, Parts, size_of

AROUND_BYTES = 128
"""Bytes of a submission around its input: the policy with the longest times, and the names of both."""


def check_fields(fields: Fields) -> None:
    """Check a request before it waits for a permit: a worker receives these values, most of them once.

    Raises:
        BodyTooLargeError: They are larger than a job may be.
    """
    _check(sum(map(size_of, fields.values())))


def fitting(job_input: Parts) -> Parts:
    """Return the input of a job if Runpod accepts its size.

    Raises:
        BodyTooLargeError: It is larger than a job may be.
    """
    _check(sum(map(len, job_input)))
    return job_input


def _check(size: int) -> None:
    if size + AROUND_BYTES > JOB_BODY_BYTES_MAX:
        raise BodyTooLargeError(JOB_BODY_BYTES_MAX)
