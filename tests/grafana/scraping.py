"""A real Prometheus that scrapes one target every second, and what it is asked."""

import contextlib
import math
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import yaml

from tests.grafana.expressions import ALERTS
from tests.grafana.tools import path_of
from tests.processes import free_port
from tests.waiting import eventually

STOP_S_MAX = 30.0
Series = dict[str, Any]


class Prometheus(msgspec.Struct, frozen=True):
    """One that runs."""

    http: httpx.Client

    def ask(self, path: str, **parameters: str | float) -> Any:
        """The `data` of an answer; an error is raised with its text."""
        answer = self.http.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        assert not answer.get("warnings"), answer
        return answer["data"]

    def scraped_at_s(self) -> float:
        """When it last looked at its target, by its own clock."""
        (series,) = self.ask("query", query="timestamp(up)")["result"]
        return float(series["value"][1])

    def over_time(self, expression: str, start_s: float, end_s: float) -> list[Series]:
        """The series of a query, a value each second."""
        data = self.ask("query_range", query=expression, start=start_s, end=end_s, step=1)
        series: list[Series] = data["result"]
        return series


def numbers(series: Series) -> list[float]:
    """The values that are numbers."""
    return [value for value in map(float, (text for _, text in series["values"])) if math.isfinite(value)]


@contextlib.contextmanager
def scraping(target_url: str, directory: pathlib.Path) -> Iterator[Prometheus]:
    """Prometheus with the shipped rules, for the length of the block; it is ended by its id."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "fairpod", "static_configs": [{"targets": [urlsplit(target_url).netloc]}]}],
    }
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        path_of("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            _wait_until_scraped(process, Prometheus(http), directory)
            yield Prometheus(http)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S_MAX)


def _wait_until_scraped(process: subprocess.Popen[bytes], at: Prometheus, directory: pathlib.Path) -> None:
    """Prometheus looks for its targets every five seconds, the first time too."""
    log = (directory / "prometheus.log").read_text

    def has_scraped() -> bool:
        assert process.poll() is None, log()
        with contextlib.suppress(httpx.TransportError, ValueError):
            return bool(at.ask("query", query="up == 1")["result"])
        return False

    eventually(has_scraped, or_show=log)
