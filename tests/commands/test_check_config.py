import argparse
from pathlib import Path

import pytest
import yaml

from gateway.commands import check_config
from tests.stacks import config_of


def test_a_port_for_metrics_that_is_the_clients_own_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", metrics_port=9000, listen={"port": 9000})))
    assert check_config.run(argparse.Namespace(config=file)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("metrics_port: is the port of the clients, 9000")
    assert said.out == ""
