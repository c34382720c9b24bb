"""Write what the commands say of themselves into docs/cli.md: `python docs/make_cli.py`."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctseg.cli import COMMANDS, load
from ctseg.plain_help import argument_usage
from ctseg.settings import VARIABLE, variable

PAGE = Path(__file__).with_name("cli.md")
BEGIN, END = "<!-- commands: python docs/make_cli.py -->", "<!-- /commands -->"


def main() -> None:
    """Renew the page."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(page: str) -> str:
    """The page with the part between its marks renewed."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    told = "\n".join(line for name in COMMANDS for line in _command(name))
    return f"{before}{BEGIN}\n{told}\n{END}{after}"


def _command(name: str) -> Iterator[str]:
    command = load(name)
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    words = [*map(argument_usage, arguments), *(_usage(one) for one in options if one.required), "[OPTIONS]"]
    about, *examples = (command.help or "").split("Example: ")
    yield from (f"\n## ctseg {name}\n", f"```\nctseg {name} {' '.join(words)}\n```")
    for paragraph in about.strip().split("\n\n"):
        yield "\n" + textwrap.fill(paragraph, 120, break_on_hyphens=False, break_long_words=False)
    yield ""
    yield from ("| | | by default | variable |", "|---|---|---|---|")
    for param in arguments:
        yield _row(argument_usage(param), param.help, "", "")
    for param in options:
        yield _row(_usage(param), param.help, _default(param), _set_by(name, param))
    yield "\n```sh\n" + "\n".join(example.strip() for example in examples) + "\n```"


def _usage(param: Any) -> str:
    """An option with what it takes: `--device auto|cpu|cuda`."""
    return f"{', '.join(param.opts)} {param.metavar}".strip()


def _default(param: Any) -> str:
    if param.required:
        return "must be given"
    return "" if param.default is None or param.default is False else f"`{param.default}`"


def _set_by(name: str, param: Any) -> str:
    key = max(param.opts, key=len).lstrip("-")
    return f"`{VARIABLE if key == 'config' else variable(name, key)}`"


def _row(usage: str, told: str, default: str, set_by: str) -> str:
    cells = f"`{usage}`", told.replace("<", "&lt;"), default, set_by
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
