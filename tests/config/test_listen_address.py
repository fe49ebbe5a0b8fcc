import pathlib
from typing import Any

import pytest

from gateway.config.listen_address import read_listen


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("listen: {host: 127.0.0.1, port: 9000}", "127.0.0.1", 9000),
        ("listen: {port: 9000}", "0.0.0.0", 9000),
        ('listen: {port: "${PORT}"}', "0.0.0.0", 9001),
        ('listen: {port: "${OTHER:-9002}"}', "0.0.0.0", 9002),
        ("endpoints: nonsense\nlisten: {port: 9000}", "0.0.0.0", 9000),
        ("endpoints: ['${UNSET}']\nlisten: {port: 9000}", "0.0.0.0", 9000),
        ("{}", "0.0.0.0", 8080),
        ("listen: {port: many}", "0.0.0.0", 8080),
        ("listen: {port: 99999}", "0.0.0.0", 8080),
        ("listen: {color: red}", "0.0.0.0", 8080),
        ('listen: {port: "${UNSET}"}', "0.0.0.0", 8080),
        ("listen:", "0.0.0.0", 8080),
        ("[", "0.0.0.0", 8080),
        ("", "0.0.0.0", 8080),
        ("- 1", "0.0.0.0", 8080),
    ],
)
def test_the_section_is_read_whatever_the_rest_is(tmp_path: pathlib.Path, text: str, host: str, port: int) -> None:
    file = tmp_path / "fairpod.yaml"
    file.write_text(text)
    found: Any = read_listen(file, {"PORT": "9001"})
    assert (found.host, found.port) == (host, port)


def test_without_a_file_there_are_defaults(tmp_path: pathlib.Path) -> None:
    assert read_listen(tmp_path / "none.yaml", {}).port == 8080
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert read_listen(tmp_path / "bytes.yaml", {}).port == 8080
