"""Small mistakes, each of which breaks one invariant: what the tests here have to notice."""

from typing import NamedTuple

GATE, GATES, CAPACITY = "admission/gate.py", "admission/endpoint_gates.py", "admission/capacity.py"
PERMIT, TIMER = "admission/permit.py", "admission/wake_timer.py"
ORDER, HEAP, LINE = "fairshare/fair_queue.py", "fairshare/lazy_heap.py", "fairshare/tenant_queue.py"
OVERFLOW, PACER, THROTTLE = "fairshare/overflow.py", "fairshare/pacer.py", "fairshare/adaptive_limit.py"
ALLOCATOR, ACCOUNT = "fairshare/allocator.py", "fairshare/account.py"
SCRIPT, LEASE = "state/lease.lua", "fairshare/lease.py"
JOBS, SEAT = "jobs/job_tracker.py", "admission/seat.py"
TOOLS, CALL = "translate/tool_calls.py", "translate/assembled_call.py"


class Planted(NamedTuple):
    """A text of a file under gateway/, found exactly once, and what takes its place."""

    invariant: int
    what: str
    file: str
    old: str
    new: str


INVARIANTS = {
    1: ("caps", ("test_gate_machine.py", "test_caps.py", "../fairshare/test_adaptive_limit.py")),
    2: ("work conservation", ("test_gate_machine.py",)),
    3: ("order", ("test_order_machine.py", "test_hierarchy.py")),
    4: ("max-min", ("test_shares.py",)),
    5: ("bounded difference", ("test_shares.py",)),
    6: ("no starvation", ("test_shares.py", "test_gate_machine.py")),
    7: ("no hoarding", ("test_return.py",)),
    8: ("no leak", ("test_cancels.py", "test_gate_machine.py")),
    9: ("refund neutrality", ("test_refund.py",)),
    10: ("isolation", ("test_isolation.py",)),
    11: ("hierarchy", ("test_hierarchy.py",)),
    13: ("tool calls", ("../translate/test_tool_calls.py",)),
    14: (
        "running jobs",
        (
            "test_running_jobs.py",
            "../jobs/test_job_tracker.py",
            "../admission/test_seat.py",
            "../jobs/test_canceller.py",
            "../admission/test_gate.py",
            "../exchange/test_exchange.py",
        ),
    ),
    12: ("lease safety", ("test_lease_safety.py", "test_lease_twin.py", "test_lease_stories.py", "test_lease_rate.py")),
}
"""The name of each, and the tests that hold it."""

PLANTED = [
    Planted(
        1,
        "one permit more than seats",
        GATE,
        "            if self.occupancy.held >= self._capacity.seats(now_s):\n                self._capacity.request",
        "            if self.occupancy.held > self._capacity.seats(now_s):\n                self._capacity.request",
    ),
    Planted(1, "a window too short", PACER, "WINDOW_S = 10.2", "WINDOW_S = 9.0"),
    Planted(
        1,
        "no log over the even rate",
        PACER,
        "return max(even_s, self._sent[excess] + WINDOW_S)",
        "return even_s",
    ),
    Planted(
        1,
        "a grant is not told to the pacer",
        GATE,
        "            self._capacity.take(now_s)\n            permit.grant(now_s)\n\n    def _may_enter",
        "            permit.grant(now_s)\n\n    def _may_enter",
    ),
    Planted(
        1,
        "a grant at once is not told to the pacer",
        GATE,
        "            self._capacity.take(now_s)\n            self._grant_at_once(",
        "            self._grant_at_once(",
    ),
    Planted(1, "late sends are not counted", GATE, "LATE_S = 0.05", "LATE_S = 1e9"),
    Planted(1, "the line has no bound", OVERFLOW, "counts.waiting < limits.tickets_max and ", ""),
    Planted(1, "the throttle has no least part", THROTTLE, "PART_MIN = 0.05", "PART_MIN = 0.0"),
    Planted(
        1,
        "every 429 of a second counts",
        THROTTLE,
        "        if now_s - self._changed_at_s < STEP_S:\n            return\n",
        "",
    ),
    Planted(
        2,
        "a permit given back wakes nobody",
        GATE,
        "        self.pump()\n        if self._timer.is_set and",
        "        if self._timer.is_set and",
    ),
    Planted(
        2,
        "the timer wakes nobody",
        TIMER,
        "        self._handle, self.is_set = None, False\n        self._wake()",
        "        self._handle, self.is_set = None, False",
    ),
    Planted(2, "one turn at a time", GATE, "        while self._queue:", "        if self._queue:"),
    Planted(
        2,
        "the last seat stays free",
        GATE,
        "if self.occupancy.held >= self._capacity.seats(now_s):\n                self._capacity.request",
        "if self.occupancy.held + 1 >= max(2, self._capacity.seats(now_s)):\n                self._capacity.request",
    ),
    Planted(
        3,
        "seats at other replicas do not count",
        ORDER,
        "expected = self._mean_cost * (account.held + account.remote) / account.weight",
        "expected = self._mean_cost * account.held / account.weight",
    ),
    Planted(
        3,
        "a release is not noticed by the heap",
        ORDER,
        "cost * cost\n        if account.waiting:\n            self._next.push(account, now_s)\n",
        "cost * cost\n",
    ),
    Planted(3, "a smaller mean is not noticed by the heap", ORDER, "if mean_cost < before:", "if False:"),
    Planted(
        3,
        "a refund is not noticed by the heap",
        ORDER,
        "        if cost < 0:\n            self._reread(account, now_s)\n",
        "",
    ),
    Planted(3, "the top of the heap is trusted", HEAP, "if key <= stored:", "if key >= stored:"),
    Planted(
        4,
        "nothing is owed",
        ORDER,
        "account.owed = min(max(0.0, self._attained(lowest, now_s) - account.attained), owed_max)",
        "account.owed = 0.0",
    ),
    Planted(
        4,
        "the content ones come last",
        ALLOCATOR,
        "key=lambda item: item[1][0] / item[1][1])",
        "key=lambda item: -item[1][0] / item[1][1])",
    ),
    Planted(3, "weights do not count", ACCOUNT, "self.attained += cost / self.weight\n", "self.attained += cost\n"),
    Planted(
        4,
        "time is charged without weights",
        ACCOUNT,
        "per_second * (self.held + self.remote) * (now_s - self.at_s) / self.weight",
        "per_second * (self.held + self.remote) * (now_s - self.at_s)",
    ),
    Planted(
        5,
        "seats held do not count",
        ORDER,
        "return account.attained_at(self._cost_model.per_second, now_s) + expected",
        "return account.attained_at(self._cost_model.per_second, now_s)",
    ),
    Planted(
        5,
        "service does not count",
        ORDER,
        "return account.attained_at(self._cost_model.per_second, now_s) + expected",
        "return expected",
    ),
    Planted(
        6,
        "debt has no bound",
        ORDER,
        "account.attained = min(max(account.attained, floor - owed), floor + debt_max)",
        "account.attained = max(account.attained, floor - owed)",
    ),
    Planted(6, "urgent ones always go first", LINE, "self._urgent_in_a_row < URGENT_IN_A_ROW_MAX", "True"),
    Planted(6, "no wait ends", GATE, "return left_s\n", "return max(left_s, 1.0)\n"),
    Planted(
        7,
        "idle time is credit",
        ORDER,
        "account.attained = min(max(account.attained, floor - owed), floor + debt_max)",
        "account.attained = min(account.attained, floor + debt_max)",
    ),
    Planted(
        7,
        "debt has no bound",
        ORDER,
        "account.attained = min(max(account.attained, floor - owed), floor + debt_max)",
        "account.attained = max(account.attained, floor - owed)",
    ),
    Planted(
        7,
        "leaving clears all debt",
        ORDER,
        "account.attained = min(max(account.attained, floor - owed), floor + debt_max)",
        "account.attained = floor - owed",
    ),
    Planted(7, "what is owed has no bound", ORDER, "- account.attained), owed_max)", "- account.attained), 1e9)"),
    Planted(7, "much is owed", ORDER, "OWED_S_MAX = 2.0", "OWED_S_MAX = 20.0"),
    Planted(7, "what is owed is paid however late", ORDER, "MOMENT_S = 0.5", "MOMENT_S = 1e9"),
    Planted(
        8,
        "a cancelled ticket stays",
        GATE,
        "        if permit.is_waiting:\n"
        "            self._queue.withdraw(permit, tenant=permit.tenant.name)\n        elif",
        "        if",
    ),
    Planted(
        8,
        "a cancelled permit stays where its owner never learnt of it",
        GATE,
        "        elif permit.granted_at_s is not None:\n            now_s = permit",
        "        elif permit.granted_at_s is not None and permit._turn is None:\n            now_s = permit",
    ),
    Planted(8, "bytes are not given back", "fairshare/occupancy.py", "        self.waiting_bytes -= size\n", ""),
    Planted(
        8,
        "a timer is left",
        GATE,
        "            self._timer.cancel()",
        "            pass",
    ),
    Planted(
        8, "an evicted ticket keeps its place", ORDER, "        self.withdraw(ticket, tenant=heaviest.tenant)\n", ""
    ),
    Planted(
        8,
        "a presence outlives its tenant",
        "fairshare/occupancy.py",
        "self._present.pop(account, None)",
        "pass",
    ),
    Planted(
        9,
        "a 429 is charged",
        GATE,
        "        self.forgive(permit)\n        self._capacity.refused",
        "        self._capacity.refused",
    ),
    Planted(
        9,
        "the price of the grant is kept",
        ORDER,
        "-cost - self._cost_model.per_grant, now_s",
        "-cost, now_s",
    ),
    Planted(
        9,
        "what was charged beside the seat is kept",
        GATE,
        "return permit.charged + self._cost_model",
        "return self._cost_model",
    ),
    Planted(10, "a cancel without hope is refused", GATES, ", refuses_hopeless=False", ""),
    Planted(
        1,
        "one eviction is always enough",
        GATE,
        "        while True:\n            verdict",
        "        for _ in range(1):\n            verdict",
    ),
    Planted(
        3,
        "a new weight is not noticed by the heap",
        ORDER,
        "self.occupancy.reweigh(account, weight)\n            self._reread",
        "self.occupancy.reweigh(account, weight)\n            print",
    ),
    Planted(
        9,
        "a forgiven grant was the last one",
        ORDER,
        "if self._last is not None and tenant == self._last.tenant:",
        "if False:",
    ),
    Planted(
        10,
        "cancels share the budget of all calls",
        GATES,
        "            self.gates[operation] = Gate(",
        "            capacity = next(iter(self.gates.values()))._capacity if self.gates else capacity\n"
        "            self.gates[operation] = Gate(",
    ),
    Planted(
        10,
        "the line of cancels is short",
        GATES,
        "QueueLimits(tickets_max=1_000_000, tenant_tickets_max=1_000_000, refuses_hopeless=False)",
        "QueueLimits(tickets_max=300, tenant_tickets_max=300)",
    ),
    Planted(
        10,
        "a poll waits behind the flood",
        ORDER,
        "return account.attained_at(self._cost_model.per_second, now_s) + expected",
        "return float(-len(account.line))",
    ),
    Planted(
        11,
        "members bring weight",
        ORDER,
        "account = self._account(tenant, weight, now_s)\n        is_back",
        "account = self._account(tenant, weight * (2 if member > 'key1' else 1), now_s)\n        is_back",
    ),
    Planted(
        11,
        "members are tenants",
        GATE,
        "permit, tenant=tenant.name, weight=weight, member=member,",
        "permit, tenant=tenant.name, weight=weight * (1 + len(member)), member=member,",
    ),
    Planted(
        11,
        "members do not take turns",
        LINE,
        "if not tickets or len(self._members) > 1:",
        "if not tickets:",
    ),
    Planted(12, "a limit grows into what others may use", SCRIPT, "math.max(0, seats - taken)", "seats"),
    Planted(12, "a bound shrinks unconfirmed", SCRIPT, "if confirmed then bound", "if true then bound"),
    Planted(
        12,
        "a bound forgets what is held",
        SCRIPT,
        "bound = math.max(known[LIMIT], held) end",
        "bound = known[LIMIT] end",
    ),
    Planted(12, "a store without memory lends at once", SCRIPT, "is_learning and 0 or", "false and 0 or"),
    Planted(
        12,
        "a killed process frees its jobs' seats",
        SCRIPT,
        "if class[IS_WORK] and class[BOUND] > 0 then",
        "if false then",
    ),
    Planted(12, "tokens have no brim", SCRIPT, "math.min(want, burst - height)", "want"),
    Planted(12, "a lease never ends", LEASE, "now_s - self.heard_at_s < 0.9 * LEASE_S", "True"),
    Planted(12, "tokens never end", LEASE, "self.tokens > 0 and now_s < self._tokens_until_s", "self.tokens > 0"),
    Planted(13, "a blank id is an id", TOOLS, "if call_id and call.sent_id == call_id", "if call.sent_id == call_id"),
    Planted(
        13,
        "an unnamed part with another id begins a call",
        TOOLS,
        "if not fragment.name or not (call.name or call.size):",
        "if not (call.name or call.size):",
    ),
    Planted(
        13,
        "a name never begins another call",
        TOOLS,
        "return has_other_id or fragment.name != call.name or bool(fragment.arguments.strip())",
        "return has_other_id",
    ),
    Planted(13, "a later name is dropped", TOOLS, "if fragment.name and not call.is_written:", "if not call.size:"),
    Planted(13, "no id is made up", CALL, 'self.id or f"call_{id_prefix}{self.number:02x}"', "self.id"),
    Planted(
        13,
        "made-up ids are alike",
        CALL,
        'self.id or f"call_{id_prefix}{self.number:02x}"',
        'self.id or f"call_{id_prefix}"',
    ),
    Planted(13, "two calls keep one id", TOOLS, 'if self._by_id(fragment.id) is None else ""', ""),
    Planted(
        13, "a call is not held back", TOOLS, "        if not (call.id and call.name):\n            return False\n", ""
    ),
    Planted(
        13,
        "calls without index are one",
        TOOLS,
        "return len(fragments) > 1 and",
        "return len(fragments) > 99 and",
    ),
    Planted(
        13,
        "a changed index begins a call",
        TOOLS,
        "        if named is not None:\n            # The index changed",
        "        if named is call:\n            # The index changed",
    ),
    Planted(
        13,
        "parts by turns are mixed",
        TOOLS,
        "return named if named is not None and named.index == index else call",
        "return call",
    ),
    Planted(
        13,
        "arguments are lost while held back",
        CALL,
        'arguments, self.held = "".join(self.held), []',
        'arguments, self.held = self.held[-1] if self.held else "", []',
    ),
    Planted(13, "a placeholder stays", CALL, "if self.has_placeholder and begins", "if self.number < 0 and begins"),
    Planted(
        13,
        "a placeholder begins another call",
        TOOLS,
        "if call.has_placeholder and has_same_id:",
        "if call.has_placeholder and call.number < 0:",
    ),
    Planted(
        13,
        "an empty object is never written",
        TOOLS,
        "            if call.is_written:\n                written += call.more({})\n            elif call.name",
        "            if call.is_written:\n                continue\n            elif call.name",
    ),
    Planted(
        13,
        "another id cuts open arguments",
        TOOLS,
        "            # It goes on with the arguments, whatever its id.\n            return False",
        "            # It goes on with the arguments, whatever its id.\n            return has_other_id",
    ),
    Planted(
        13,
        "another tool goes on with open arguments",
        TOOLS,
        "            return False\n        return has_other_id or self._is_other_tool(call.name, fragment.name)",
        "            return False\n        return has_other_id",
    ),
    Planted(
        13,
        "a name changes after arguments",
        TOOLS,
        "if name and call.size and (",
        "if name and call.number < 0 and (",
    ),
    Planted(13, "null is no arguments", CALL, "type=dict | list | None)", "type=dict | list)"),
    Planted(
        13,
        "named parts under one index are one call",
        TOOLS,
        "is_told = named == len(fragments) or (",
        "is_told = named == 99 or (",
    ),
    Planted(
        13, "cumulative arguments are joined", CALL, "elif self._is_cumulative(arguments):", "elif self.number < 0:"
    ),
    Planted(
        13,
        "arguments again go on with them",
        CALL,
        'return arguments == "".join(self.arguments) and self.has_complete_arguments',
        "return False",
    ),
    Planted(
        13,
        "a call again is another one",
        TOOLS,
        "if call is not None and call.is_said_again(fragment.arguments) and _may_repeat(call, fragment):",
        "if call is not None and call.number < 0:",
    ),
    Planted(
        13,
        "an object never goes on",
        CALL,
        "return not begins_object(arguments) or",
        "return not begins_object(arguments) and",
    ),
    Planted(
        13,
        "another index without arguments repeats a call",
        TOOLS,
        "has_more = bool(fragment.arguments.strip())",
        "has_more = True",
    ),
    Planted(
        13,
        "calls of one delta with one id are one",
        TOOLS,
        "known = {call.sent_id for call in self._calls if call.sent_id}",
        "known = {fragment.id for fragment in fragments}",
    ),
    Planted(
        13, "an empty part begins a call", TOOLS, "            if fragment.is_empty:\n                continue\n", ""
    ),
    Planted(
        13, "pieces of a name are not joined", TOOLS, "candidates = (name + piece, piece, name)", "candidates = (name,)"
    ),
    Planted(
        14,
        "a job that was left keeps no seat",
        JOBS,
        "release=job.kept or self._until_over(job, job.seat.keep()),",
        "release=job.kept or (lambda: None),",
    ),
    Planted(
        14,
        "a job that was left is not under way",
        "jobs/job_times.py",
        "may_run=not has_ended",
        "may_run=False",
    ),
    Planted(
        14, "an answered job keeps no seat", JOBS, "job.kept = self._until_over(job, job.seat.keep_answered())", "pass"
    ),
    Planted(
        14,
        "a job that was left does not count in flight",
        SEAT,
        "both(self._permit.keep(), self._in_flight.share())",
        "self._permit.keep()",
    ),
    Planted(
        14,
        "a seat is given back twice",
        PERMIT,
        "            if is_kept:\n                is_kept = False",
        "            if is_kept:",
    ),
    Planted(
        14,
        "a dead process's job holds no seat",
        JOBS,
        "both(held, self._hold_place(entry.tenant))",
        "self._hold_place(entry.tenant)",
    ),
    Planted(
        14,
        "a dead process's job holds no place",
        JOBS,
        "both(held, self._hold_place(entry.tenant))",
        "held",
    ),
    Planted(
        14,
        "a job that is over keeps its seat",
        "jobs/canceller.py",
        "        entry.release()\n        execution_s",
        "        execution_s",
    ),
    Planted(
        14,
        "all cancels share one line",
        "jobs/canceller.py",
        "calling(Operation.CANCEL, tenant=tenant, wait_s_max=TURN_S_MAX)",
        'calling(Operation.CANCEL, tenant=Tenant(name=""), wait_s_max=TURN_S_MAX)',
    ),
]
