"""The rounds of chaos: one for each family of faults, and one for all of them together."""

from tests.chaos.proxy import Kind
from tests.chaos.questions import FAIL_KINDS, Habits
from tests.chaos.rounds import Round
from tests.chaos.verdicts import Ending

WHOLE, FAILED, BROKEN, LEFT = Ending.WHOLE, Ending.FAILED, Ending.BROKEN, Ending.LEFT

FAILURES = tuple(
    f"#fail={kind} #fail-after={after} #fail-status={status}"
    for kind in FAIL_KINDS
    for after in (0, 4, 12)
    for status in (400, 404, 429, 503)
)
ROUGH = {Kind.PASS: 3, Kind.RESET: 2, Kind.CLOSE: 2, Kind.STALL: 1, Kind.DELAY: 1, Kind.DRIP: 1}

ROUNDS = {
    "calm": Round(),
    "slices": Round(
        waves=(
            {"slice_bytes": 1},
            {"slice_bytes": 40},
            {"reply_delay_s": 0.3},
            {"reply_delay_s": 0.1, "slice_bytes": 5},
        ),
        habits=Habits(counts_to=(3, 12), said_part=0.1),
    ),
    "cut characters": Round(waves=({"cut_characters": True},), are_characters_cut=True),
    "cold start": Round(waves=({"cold_start_s": 1.5, "late_cancel_s": 1.0},), habits=Habits(leaving_part=0.3)),
    "workers down": Round(
        waves=({"workers_down": "throttled"}, {"workers_down": "unhealthy"}, {"workers_down": "absent"}, {})
    ),
    "queue timeouts": Round(
        waves=(
            {"workers_down": "absent", "queue_timeout_s": 0.2},
            {"workers_down": "throttled", "queue_timeout_s": 0.2},
            {"workers_down": "throttled"},
            {},
        ),
        endings=(WHOLE, FAILED, LEFT),
    ),
    "failures": Round(habits=Habits(steering=("", *FAILURES)), endings=(WHOLE, FAILED, LEFT)),
    "deaths": Round(
        # What matters most comes first, while no job has to wait into the next wave.
        waves=(
            {"death_after_outputs": 12},
            {"death_after_outputs": 20, "redispatch_delay_s": 0.3},
            {"death_after_outputs": 10_000},
            {},
        ),
        habits=Habits(steering=("", "#deaths=1", "#deaths=2")),
        endings=(WHOLE, FAILED, LEFT),
    ),
    "lost replies": Round(
        waves=tuple(
            {"lost_replies": 20, "lost_after": 5, "lost_operations": operations}
            for operations in (["stream"], ["status"], ["run"], ["cancel"], ["openai"], ["stream", "status"])
        ),
        habits=Habits(leaving_part=0.2),
        endings=(WHOLE, FAILED, LEFT),
    ),
    "refusals": Round(
        waves=tuple(
            {"refused_calls": 12, "refused_status": status, "refused_after_effect": after}
            # No 429 after the effect: by its meaning nothing was done, and the gateway relies on that.
            for status, after in ((429, False), (500, False), (502, True), (524, False), (500, True), (524, True))
        ),
        habits=Habits(leaving_part=0.2),
        endings=(WHOLE, FAILED, LEFT),
    ),
    "rough upstream": Round(back=ROUGH, endings=(WHOLE, FAILED, LEFT)),
    "rough clients": Round(front=ROUGH, endings=(WHOLE, BROKEN, LEFT)),
    "everything": Round(
        waves=(
            {"cold_start_s": 0.5, "late_cancel_s": 0.5},
            {"lost_replies": 10, "lost_operations": ["stream", "status", "run", "cancel"], "slice_bytes": 30},
            {"refused_calls": 10, "refused_status": 502, "refused_after_effect": True},
            {"reply_delay_s": 0.1, "workers_down": "throttled"},
            {},
        ),
        habits=Habits(steering=(*[""] * 12, "#deaths=1", *FAILURES[::20]), leaving_part=0.15),
        back={**ROUGH, Kind.PASS: 12},
        front={**ROUGH, Kind.PASS: 15},
        endings=(WHOLE, FAILED, BROKEN, LEFT),
    ),
}

SILENT = {Kind.PASS: 6, Kind.HALF_OPEN: 1, Kind.STALL: 1}
LONG_ROUNDS = {
    "silent upstream": Round(back=SILENT, endings=(WHOLE, FAILED, LEFT)),
    "silent clients": Round(front=SILENT, endings=(WHOLE, BROKEN, LEFT), patience_s=6.0),
    "deaths": ROUNDS["deaths"],
    "everything": ROUNDS["everything"],
}
"""Those that wait for time limits, and are played with a gateway process."""
