import pytest

from gateway.cli import main


@pytest.mark.parametrize("tenant", ["", "a\nb", "acme\n", " a", "a" * 129, "\x1b[2J"])
def test_no_key_is_made_for_a_name_that_the_file_refuses(tenant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["key", "--tenant", tenant])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "argument --tenant: invalid tenant name" in said.err


def test_a_key_is_made_for_a_name_that_the_file_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--tenant", "acme / team-1"]) == 0
    assert capsys.readouterr().out.startswith("API key of acme / team-1, shown only once: fp-")
