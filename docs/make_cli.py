"""Write what the commands say of themselves into docs/cli.md: `python docs/make_cli.py`."""

import textwrap
import typing
from collections.abc import Iterator
from inspect import unwrap
from pathlib import Path
from typing import Any

from ctseg.cli import COMMANDS, load
from ctseg.settings import VARIABLE, variable

PAGE = Path(__file__).with_name("cli.md")
BEGIN, END = "<!-- commands: python docs/make_cli.py -->", "<!-- /commands -->"
_VALUES = {int: "N", float: "X", Path: "PATH"}


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
    hints = typing.get_type_hints(unwrap(command.callback))
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    words = (
        [_argument(param) for param in arguments] + [_usage(o, hints) for o in options if o.required] + ["[OPTIONS]"]
    )
    about, *examples = (command.help or "").split("Example: ")
    yield from (f"\n## ctseg {name}\n", f"```\nctseg {name} {' '.join(words)}\n```")
    for paragraph in about.strip().split("\n\n"):
        yield "\n" + textwrap.fill(paragraph, 120, break_on_hyphens=False, break_long_words=False)
    yield ""
    yield from ("| | | by default | variable |", "|---|---|---|---|")
    for param in arguments:
        yield _row(_argument(param), param.help, "", "")
    for param in options:
        yield _row(_usage(param, hints), param.help + _limits(param), _default(param), _set_by(name, param))
    yield "\n```sh\n" + "\n".join(example.strip() for example in examples) + "\n```"


def _argument(param: Any) -> str:
    shown = param.metavar or param.name.upper()
    several = f"{shown}..." if param.nargs != 1 else shown
    return several if param.required else f"[{several}]"


def _usage(param: Any, hints: dict[str, Any]) -> str:
    """An option with what it takes: `--device auto|cpu|cuda`."""
    names = ", ".join(param.opts)
    if param.is_flag:
        return names
    kinds = list(_kinds(hints.get(param.name)))
    choices = [kind for kind in kinds if isinstance(kind, str)]
    known = next((_VALUES[kind] for kind in kinds if kind in _VALUES), "TEXT")
    return f"{names} {param.metavar or '|'.join(choices) or known}"


def _kinds(hint: Any) -> Iterator[Any]:
    """A type, and those that it is made of."""
    yield hint
    for part in typing.get_args(hint):
        yield from _kinds(part)


def _limits(param: Any) -> str:
    lowest, highest = getattr(param, "min", None), getattr(param, "max", None)
    if lowest is None:
        return ""
    return f" At least {lowest}." if highest is None else f" From {lowest} to {highest}."


def _default(param: Any) -> str:
    if param.required:
        return "must be given"
    shown = param.show_default if isinstance(param.show_default, str) else param.default
    return "" if shown is None or shown is False else f"`{shown}`"


def _set_by(name: str, param: Any) -> str:
    key = max(param.opts, key=len).lstrip("-")
    return f"`{VARIABLE if key == 'config' else variable(name, key)}`"


def _row(usage: str, told: str, default: str, set_by: str) -> str:
    cells = f"`{usage}`", told.replace("<", "&lt;"), default, set_by
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
