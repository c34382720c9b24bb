"""docs/cli.md: what is made of the commands is up to date, and what is written by hand is true."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from ctseg.cli import COMMANDS, load
from ctseg_batch.inputs.selection import NUMBERS, TEXTS, parse_condition

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_commands_say(maker):
    assert maker.renewed(PAGE) == PAGE, "run: python docs/make_cli.py"


def test_every_option_of_every_command_is_on_it():
    for name in COMMANDS:
        part = PAGE.partition(f"\n## ctseg {name}\n")[2].partition("\n## ")[0]
        for param in load(name).params:
            shown = (
                max(param.opts, key=len) if param.param_type_name == "option" else param.metavar or param.name.upper()
            )
            assert shown in part, (name, shown)


def test_every_field_of_a_filter_is_on_it_and_its_examples_can_be_parsed():
    for field in (*TEXTS, *NUMBERS):
        assert f"\n| `{field}` |" in PAGE
    examples = re.findall(r"--series-filter '([^']+)'", PAGE)
    assert len(examples) >= 2
    for example in (*examples, "kernel=B70f|B60f"):
        assert example in PAGE
        parse_condition(example)


def test_its_settings_can_be_read():
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for name, table in tomllib.loads(example).items():
        options = {max(param.opts, key=len).lstrip("-") for param in load(name).params}
        assert set(table) <= options


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))], ids=str)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
