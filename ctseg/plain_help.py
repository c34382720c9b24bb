"""What `--help` says of parameters, in the words of docs/cli.md: `N`, where Typer has `<int range> [x>=1]`."""

import typing
from collections.abc import Iterator
from inspect import unwrap
from pathlib import Path
from typing import Any

_VALUES = {int: "N", float: "X", Path: "PATH"}


def tell_plainly(command: Any) -> None:
    """Name the values of a Typer `command`'s parameters, and say in words what limits them."""
    hints = typing.get_type_hints(unwrap(command.callback))
    for param in command.params:
        if param.param_type_name == "argument":
            _name_argument(param)
        else:
            param.metavar = _value(param, hints.get(param.name))
        param.help = f"{param.help}{_limits(param)}"
        param.min = param.max = None  # which only the help looks at: values are checked by the function's annotations
    help_option = command.get_help_option

    def flag(context: Any) -> Any:
        option = help_option(context)
        option.metavar = ""
        return option

    command.get_help_option = flag


def argument_usage(param: Any) -> str:
    """An argument as in a synopsis: `[INPUT...]`."""
    several = f"{param.metavar}..." if param.nargs != 1 else str(param.metavar)
    return several if param.required else f"[{several}]"


def _name_argument(param: Any) -> None:
    """Show an argument by its name alone."""
    param.metavar = param.metavar or param.name.upper()
    param.get_usage_pieces = lambda context: [argument_usage(param)]  # noqa: ARG005 - as Typer calls it
    param.display_type_rich = lambda ctx: None  # noqa: ARG005 - as Typer calls it


def _value(param: Any, hint: Any) -> str:
    """What an option takes: `auto|cpu|cuda`; nothing for a flag."""
    if param.is_flag:
        return ""
    kinds = list(_kinds(hint))
    choices = [kind for kind in kinds if isinstance(kind, str)]
    return param.metavar or "|".join(choices) or next((_VALUES[kind] for kind in kinds if kind in _VALUES), "TEXT")


def _kinds(hint: Any) -> Iterator[Any]:
    """A type, and those that it is made of."""
    yield hint
    for part in typing.get_args(hint):
        yield from _kinds(part)


def _limits(param: Any) -> str:
    if param.min is None:
        return ""
    return f" At least {param.min}." if param.max is None else f" From {param.min} to {param.max}."
