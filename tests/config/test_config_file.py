import os
import pathlib
import threading
from typing import Any

import pytest
import yaml

from gateway.config.config_file import ConfigFile
from gateway.config.loader import ConfigError
from tests.stacks import config_of


def write(path: pathlib.Path, raw: Any) -> None:
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))


def good(**sections: Any) -> dict[str, Any]:
    return config_of("http://127.0.0.1:1", **sections)


def with_key_file(file: pathlib.Path) -> dict[str, Any]:
    raw = good()
    del raw["endpoints"][0]["api_key"]
    raw["endpoints"][0]["api_key_file"] = str(file)
    return raw


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "fairpod.yaml"
    write(file, good())
    return file


def has_settled(subject: ConfigFile) -> bool:
    """At the second look."""
    return [subject.has_changed(), subject.has_changed()][1]


def test_a_change_counts_at_the_second_look_and_until_it_is_read(path: pathlib.Path) -> None:
    subject = ConfigFile(path, {})
    assert subject.read().drain_s == 30
    assert not has_settled(subject)
    write(path, good(drain_s=7))
    assert not subject.has_changed()
    assert subject.has_changed()
    assert subject.has_changed()
    assert subject.read().drain_s == 7
    assert not has_settled(subject)


def test_a_file_that_is_still_being_written_is_left_alone(path: pathlib.Path) -> None:
    subject = ConfigFile(path, {})
    subject.read()
    for drain_s in range(1, 5):
        write(path, good(drain_s=drain_s))
        assert not subject.has_changed()
    assert subject.has_changed()


def test_a_time_stamp_alone_is_no_change_and_none_is_needed_for_one(path: pathlib.Path) -> None:
    subject = ConfigFile(path, {})
    subject.read()
    before = path.stat()
    path.touch()
    assert not has_settled(subject)
    write(path, path.read_text().replace("acme", "beta"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert has_settled(subject)


def test_a_mounted_config_map_is_exchanged_above_the_file(tmp_path: pathlib.Path) -> None:
    """The kubelet writes a new folder and turns the link `..data` to it; the file's own link stays as it is."""
    for name, drain_s in (("..first", 1), ("..second", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "fairpod.yaml", good(drain_s=drain_s))
    (tmp_path / "..data").symlink_to("..first")
    (tmp_path / "fairpod.yaml").symlink_to("..data/fairpod.yaml")
    subject = ConfigFile(tmp_path / "fairpod.yaml", {})
    assert subject.read().drain_s == 1
    (tmp_path / "..new").symlink_to("..second")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert has_settled(subject)
    assert subject.read().drain_s == 2


def test_a_bad_file_is_refused_once_and_its_repair_is_seen(path: pathlib.Path) -> None:
    subject = ConfigFile(path, {})
    subject.read()
    text = path.read_text()
    for bad in ("endpoints: [", None):
        path.unlink() if bad is None else write(path, bad)
        assert has_settled(subject)
        with pytest.raises(ConfigError):
            subject.read()
        assert not has_settled(subject)
        write(path, text)
        assert has_settled(subject)
        subject.read()


def test_key_files_are_read_and_looked_at_as_well(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    key = tmp_path / "key"
    write(path, with_key_file(key))
    subject = ConfigFile(path, {})
    with pytest.raises(ConfigError, match=r"endpoints\[0\].api_key_file: .*No such file"):
        subject.read()
    assert not has_settled(subject)
    key.write_text("rpa_one\n")
    assert has_settled(subject)
    assert subject.read().endpoints[0].api_key == "rpa_one\n"
    key.write_text("rpa_two\n")
    assert has_settled(subject)
    assert subject.read().endpoints[0].api_key == "rpa_two\n"


@pytest.mark.parametrize("content", [b"", b"rpa_one\nrpa_two", b"rpa_\xff"])
def test_what_is_no_key_is_refused_without_a_word_of_it(
    path: pathlib.Path, tmp_path: pathlib.Path, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)
    write(path, with_key_file(tmp_path / "key"))
    with pytest.raises(ConfigError) as caught:
        ConfigFile(path, {}).read()
    assert str(caught.value).startswith("endpoints[0].api_key_file: ")
    assert "rpa_" not in str(caught.value)


def test_the_environment_is_looked_up_anew(path: pathlib.Path) -> None:
    environment = {"DRAIN": "5"}
    write(path, good(drain_s="${DRAIN}"))
    subject = ConfigFile(path, environment)
    assert subject.read().drain_s == 5
    environment["DRAIN"] = "6"
    assert subject.read().drain_s == 6


def test_a_pipe_is_read_once_and_not_looked_into(tmp_path: pathlib.Path) -> None:
    """To look would be to wait for somebody who writes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write, args=(pipe, good()))
    writer.start()
    subject = ConfigFile(pipe, {})
    assert subject.read().drain_s == 30
    writer.join(5)
    assert not has_settled(subject)
