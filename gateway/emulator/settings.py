"""Define the emulator's settings: one frozen struct, with the values of the real service as defaults."""

from enum import StrEnum
from typing import Literal

import msgspec

from gateway.emulator.faults import Faults
from gateway.emulator.limits import Limit
from gateway.emulator.worker_pool import IdleShown

MEBIBYTE = 1024 * 1024


class Dialect(StrEnum):
    """Name the formats in which the scripted worker takes requests and yields outputs."""

    VLLM = "vllm"
    """worker-vllm 2.24 and newer: the text of the event stream, cut anywhere."""
    VLLM_BATCHED = "vllm-batched"
    """worker-vllm 0.3 to 2.23: strings of several whole events."""
    VLLM_DICTS = "vllm-dicts"
    """Like `vllm-batched`, with RAW_OPENAI_OUTPUT=0: lists of chunk objects, without [DONE]."""
    SGLANG = "sglang"
    """worker-sglang: pretty-printed events over several data lines, all at the end; whole answers as JSON text."""
    TOKENS = "tokens"
    """worker-vllm 0.2 to 2.23 on its raw route: batches of tokens, `usage.output` cumulative."""
    LEGACY = "legacy"
    """The worker of 2023 that the older documentation shows: `text`, `input_tokens`, `output_tokens`, metrics."""
    TEXT = "text"
    """A handler that yields plain strings, or returns one."""


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure one emulator. Times are in seconds; defaults are Runpod's published or recorded values, if any."""

    api_key: str = ""
    """Key that calls must carry, as `Bearer KEY` or bare; empty accepts any key and none."""

    worker: Literal["scripted", "none"] = "scripted"
    """`none` leaves the jobs to remote workers, which call the worker API."""
    workers: int = 1
    """Number of scripted workers of each endpoint."""
    worker_concurrency: int = 30
    """Maximum number of jobs that one scripted worker runs at once; 30 is worker-vllm's default."""
    standby_workers: int = 2
    """Number of workers that /health counts as idle and ready while nothing runs; each one that starts replaces one of
    them. With 0, sleeping workers are not counted, and a worker that needs no time to start is always up."""
    standby_swings: bool = False
    """Show one standby worker as running every other second. Polls of the live service show this, without any job and
    without a charge: runpod/flash issue 364."""
    prestart_s: float = 0.0
    """Seconds for which a scripted worker's prestart hooks run after each start. It takes jobs meanwhile, so they are
    IN_PROGRESS and it is running, and processes them afterwards. runpod-python 2.0.0rc2 rp_scale.py."""
    idle_timeout_s: float = 5.0
    """Seconds for which a scripted worker without a job stays up, and is billed, before it returns to standby. Runpod's
    default."""
    idle_shown: IdleShown = "swinging"
    """State that /health shows for a scripted worker in its idle timeout: `running` (Runpod docs, serverless/pricing,
    and golden path 15: `running: 1` beside `inProgress: 0`), `idle`, or `swinging`, which alternates every second,
    beginning with running (runpod/flash issue 364)."""
    dialect: Dialect = Dialect.VLLM
    slices: Literal["arbitrary", "events"] = "arbitrary"
    """Dialect `vllm`: cut the event text anywhere, or one event to an output (the fastest)."""
    aggregate: bool = True
    """True if /status keeps the list of all yields: the worker's `return_aggregate_stream`."""
    models: tuple[str, ...] = ()
    """Names of the served models; any other gets vLLM's 404. Empty serves every name."""
    context_tokens_max: int = 0
    """Maximum length of prompts in words; longer ones get vLLM's 400. 0 means no limit."""
    token_interval_s: float = 0.0
    """Seconds before each token."""
    slow_token_interval_s: float = 0.05
    """Seconds before each token where the message contains "slowly"."""
    embedding_dimensions: int = 16

    stream_shape: Literal["object", "array"] = "object"
    """`array` is the bare array of an older page of the Runpod docs; it carries no status."""
    page_outputs_max: int = 0
    """Maximum number of outputs in one /stream reply; 0 means no limit."""
    stream_wait_s: float = 10.0
    """Seconds for which an empty /stream is held if `?wait=` is absent."""
    sync_wait_s: float = 90.0
    """Seconds for which /runsync and /status-sync are held if `?wait=` is absent."""
    wait_s_min: float = 1.0
    """Minimum of `?wait=` in seconds; lower values are raised to it. Runpod publishes the range, but not what happens
    outside of it."""
    wait_s_max: float = 300.0
    edge_timeout_s: float = 100.0
    """Seconds without a first byte after which the edge replies with HTML 524; the job goes on."""

    run_retention_s: float = 1800.0
    sync_retention_s: float = 60.0
    ttl_s: float = 86_400.0
    """Default of `policy.ttl`, in seconds."""
    ttl_s_min: float = 10.0
    """Minimum of `policy.ttl`, in seconds; lower values are raised to it."""
    execution_timeout_s: float = 600.0
    """Default of `policy.executionTimeout`, in seconds."""
    execution_timeout_s_min: float = 5.0
    retries_max: int = 1
    """Number of times that a job is dispatched again after its worker died, before it is FAILED."""

    run_body_bytes_max: int = 10 * MEBIBYTE
    sync_body_bytes_max: int = 20 * MEBIBYTE
    result_bytes_max: int = 20 * MEBIBYTE
    """Maximum size of a result. A larger job-done gets 400, and the job is COMPLETED without output, as recorded in
    runpod-python issue 309."""

    limits_enforced: bool = True
    limits: dict[str, Limit] = {}
    """Overrides of the published limits, by operation."""
    requests_per_worker: int = 0
    """Runpod's dynamic limit: calls of an operation in 10 s per running worker. Its real value is not published."""
    queued_jobs_max: int = 0
    """Number of queued jobs from which submissions get 429; 0 means no limit, as since October 2025."""

    take_wait_s: float = 5.0
    """Seconds for which job-take is held while the queue is empty."""
    stop_wait_s: float = 20.0
    """Seconds for which job-stop is held while there is no job to stop."""
    worker_lost_s: float = 30.0
    """Seconds of silence after which a remote worker counts as dead; its jobs are dispatched again."""

    jobs_kept_max: int = 50_000
    """Maximum number of jobs of one endpoint; beyond it the oldest finished ones are deleted early."""
    calls_kept_max: int = 10_000
    endpoints_max: int = 64

    faults: Faults = Faults()
    """Faults at the start and after a reset."""
