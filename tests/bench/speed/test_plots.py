"""The plot is drawn of whatever was measured."""

import pathlib

from bench.speed.peers import ENVOY, OURS
from bench.speed.plots import draw
from bench.speed.readings import Readings, Subject
from bench.speed.workloads_relay import CPU_CHUNK, CPU_REQUEST


def test_the_plot_names_the_gateways(tmp_path: pathlib.Path) -> None:
    readings = Readings()
    for workload, measure in (("relay", CPU_REQUEST), ("stream", CPU_CHUNK)):
        for peer, value in ((OURS, 400.0), (ENVOY, 100.0)):
            readings.add(Subject(workload, "32 clients", peer), measure, value)
    text = draw(readings, tmp_path).read_text()
    assert OURS in text
    assert ENVOY in text
    assert "dc:date" not in text
