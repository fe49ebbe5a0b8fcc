"""What tests of a client that leaves have in common."""

from tests.stacks import Stack


def cancelled_jobs(stack: Stack) -> set[str]:
    """The ids of the jobs that /cancel was called for, with success."""
    return {call["job_id"] for call in stack.calls() if call["operation"] == "cancel" and call["status"] == 200}
