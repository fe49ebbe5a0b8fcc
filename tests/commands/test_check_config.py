import argparse
import re
from pathlib import Path

import pytest
import yaml

from gateway.commands import check_config
from gateway.memory_plan import MIB
from tests.stacks import config_of


def test_a_port_for_metrics_that_is_the_clients_own_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", metrics_port=9000, listen={"port": 9000})))
    assert check_config.run(argparse.Namespace(config=file)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("metrics_port: is also the client port, 9000")
    assert said.out == ""


@pytest.mark.parametrize(("size", "is_warned"), [(128, True), (512, False)])
def test_memory_into_which_not_all_fits_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int, *, is_warned: bool
) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(yaml.safe_dump(config_of("http://127.0.0.1:1", memory_bytes_max=size * MIB)))
    assert check_config.run(argparse.Namespace(config=file)) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("memory_bytes_max: ")]
    assert bool(lines) is is_warned
    for line in lines:
        assert f"may use {size} MiB (memory_bytes_max)" in line
        # Half of 16 MiB for requests, less what a request takes and an eighth for the buffer.
        found = re.search(r"bodies of at most ([0-9]+) bytes", line)
        assert found is not None
        assert 7 * MIB < int(found[1]) < 8 * MIB
