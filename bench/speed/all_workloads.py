"""What can be asked for by name."""

from collections.abc import Callable, Mapping

from bench.speed import workloads_ours, workloads_relay
from bench.speed.stage import Stage

WORKLOADS: Mapping[str, Callable[[Stage], None]] = {
    "relay": workloads_relay.relay,
    "stream": workloads_relay.stream,
    "jobs": workloads_relay.jobs,
    "jobs-emulated": workloads_ours.jobs_emulated,
    "first-byte": workloads_relay.first_byte,
    "first-chunk": workloads_ours.first_chunk,
    "held": workloads_ours.held,
    "beside-held": workloads_ours.beside_held,
    "tenants": workloads_ours.tenants,
    "bodies": workloads_ours.bodies,
    "rest": workloads_ours.rest,
}
"""In the order in which they run: those beside other gateways first, which take long to start."""
