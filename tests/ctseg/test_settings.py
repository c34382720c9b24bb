"""What options are without the command line: the environment before a file, the file before the default."""

import json
import os
from pathlib import Path

import pytest

from ctseg.cli import COMMANDS, load, main
from ctseg.errors import CallError
from ctseg.settings import variable


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Call `ctseg inspect fast`, whose one option `--json` shows which value it got, below a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["inspect", "fast", *map(str, arguments)])
        return left.value.code or 0

    return called


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_file_in_the_current_folder_sets_options(demo, tmp_path, capsys):
    assert demo() == 0
    assert not is_json(capsys.readouterr().out)
    (tmp_path / "ctseg.toml").write_text("[inspect]\njson = true\n")
    assert demo() == 0
    assert is_json(capsys.readouterr().out)


def test_a_file_that_is_named_comes_instead_of_it(demo, tmp_path, capsys):
    (tmp_path / "ctseg.toml").write_text("[inspect]\njson = true\n")
    (tmp_path / "other.toml").write_text("")
    assert demo("--config", tmp_path / "other.toml") == 0
    assert not is_json(capsys.readouterr().out)


def test_a_file_may_be_named_by_the_environment(demo, tmp_path, capsys, monkeypatch):
    (tmp_path / "other.toml").write_text("[inspect]\njson = true\n")
    monkeypatch.setenv("CTSEG_CONFIG", "other.toml")
    demo()
    assert is_json(capsys.readouterr().out)


def test_the_environment_comes_before_the_file(demo, tmp_path, capsys, monkeypatch):
    (tmp_path / "ctseg.toml").write_text("[inspect]\njson = true\n")
    monkeypatch.setenv("CTSEG_INSPECT_JSON", "0")
    demo()
    assert not is_json(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[inspect]\njsn = true", "ctseg.toml: [inspect] jsn is not known: did you mean json?"),
        ("[inspect]\nxyz = 1", "ctseg.toml: [inspect] xyz is not known: choose from json"),
        ("[inspct]\n", "ctseg.toml: [inspct] is not known: did you mean inspect?"),
        ("json = true", "ctseg.toml: json is outside a table: write it below the name of its command"),
        ("[inspect]\njson = 1", "ctseg.toml: [inspect] json = 1: give true or false"),
        ("[inspect]\njson = ", "ctseg.toml is not a TOML file: "),
        ("[inspect]\nconfig = 'x'", "ctseg.toml: [inspect] config is not known"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(demo, tmp_path, capsys, content, said):
    (tmp_path / "ctseg.toml").write_text(content)
    assert demo() == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("is_of_file", [False, True])
def test_paths_may_begin_at_the_home_folder(demo, tmp_path, capsys, monkeypatch, is_of_file):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if is_of_file:
        (tmp_path / "ctseg.toml").write_text('[summarize]\nout = "~/all"\n')
    else:
        monkeypatch.setenv("CTSEG_SUMMARIZE_OUT", "~/all")
    parameters = load("summarize").make_context("ctseg summarize", ["run"]).params
    assert Path(parameters["out"]) == tmp_path / "home/all"


def test_a_mark_in_front_of_a_file_is_passed_over(demo, tmp_path, capsys):
    (tmp_path / "ctseg.toml").write_text("[inspect]\njson = true\n", encoding="utf-8-sig")
    assert demo() == 0
    assert is_json(capsys.readouterr().out)


def test_a_variable_of_no_option_is_told(demo, capsys, monkeypatch):
    monkeypatch.setenv("CTSEG_INSPECT_JASON", "1")
    monkeypatch.setenv("CTSEG_INSPECT_XYZ", "1")
    monkeypatch.setenv("CTSEG_BATCH_ANYTHING", "of another command")
    monkeypatch.setenv("CTSEG_JSON", "1")
    for of_kubernetes in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"):
        monkeypatch.setenv(f"CTSEG_{of_kubernetes}", "of a service called ctseg")
    assert demo() == 0
    assert capsys.readouterr().err == (
        "CTSEG_INSPECT_JASON is set, but ctseg inspect has no such option: it is ignored; "
        "did you mean CTSEG_INSPECT_JSON?\n"
        "CTSEG_INSPECT_XYZ is set, but ctseg inspect has no such option: it is ignored\n"
        "CTSEG_JSON is set, but begins with no command, like CTSEG_BATCH_: it is ignored\n"
    )


def test_a_file_that_is_no_text_is_no_file_of_settings(demo, tmp_path, capsys):
    (tmp_path / "ctseg.toml").write_bytes(b"\xff\xfe")
    assert demo() == 2
    assert "is not a TOML file" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(demo, capsys):
    assert demo("--config", "nowhere.toml") == 2
    assert "error: the settings file nowhere.toml can't be read: No such file or directory" in capsys.readouterr().err


def test_the_tables_of_other_commands_are_let_be(demo, tmp_path):
    (tmp_path / "ctseg.toml").write_text("[train]\nwhatever = 1\n")
    assert demo() == 0


def test_help_is_told_though_the_file_is_wrong(demo, tmp_path):
    (tmp_path / "ctseg.toml").write_text("no toml")
    assert demo("--help") == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_can_be_set_and_says_so(name):
    command = load(name)
    for option in (param for param in command.params if param.param_type_name == "option"):
        key = max(option.opts, key=len).removeprefix("--")
        expected = "CTSEG_CONFIG" if key == "config" else variable(name, key)
        is_joined = "," in (option.metavar or "")
        assert option.envvar == expected or is_joined or "In the environment, values are separated by ;" in option.help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name):
    assert f"Example: ctseg {name}" in load(name).help


def test_the_names_of_variables_are_those_of_the_options():
    assert variable("batch", "series-filter") == "CTSEG_BATCH_SERIES_FILTER"


def test_without_a_home_folder_no_folder_of_that_name_is_made(demo, capsys, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME, for a user of no name
    monkeypatch.setenv("CTSEG_SUMMARIZE_OUT", "~/all")
    with pytest.raises(CallError, match="CTSEG_SUMMARIZE_OUT = ~/all: this user has no home folder: set HOME, or"):
        load("summarize").make_context("ctseg summarize", ["run"])
