"""The values of options that are not on the command line: from the environment, else from a file `ctseg.toml`."""

import os
import re
import tomllib
import typing
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from inspect import unwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from ctseg.errors import CallError

FILE = "ctseg.toml"
VARIABLE = "CTSEG_CONFIG"
_OURS = "CTSEG_"
# Set for a service that is called ctseg.
_OF_KUBERNETES = re.compile(r"CTSEG_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
_SEPARATOR = ";"
_ORIGINS = "ctseg.settings.origins"


def open_to_settings(command: Any, name: str, commands: Collection[str]) -> Any:
    """Let a Typer `command` take its options from variables CTSEG_NAME_OPTION and a file's table [name].

    Also adds the option `--config`. `commands` are all commands: a file may have a table for each.
    """
    options = {_key(param): param for param in command.params if param.param_type_name == "option"}
    variables = {key: variable(name, key) for key in options}
    for key, param in options.items():
        if param.multiple and not _is_joined(param):
            param.help = f"{param.help} In the environment, values are separated by {_SEPARATOR}"
        if not param.multiple:  # which Typer splits at spaces
            param.envvar, param.show_envvar = variables[key], False  # a line each in --help: docs/cli.md has them
    hints = typing.get_type_hints(unwrap(command.callback))

    def settle(context: typer.Context, config: Path | None) -> None:
        if context.resilient_parsing:
            return
        file = config or (Path(FILE) if os.path.isfile(FILE) else None)  # noqa: PTH113
        table = read_table(file, name, commands) if file else {}
        found: dict[str, Any] = {}
        for key, value in table.items():
            setting = f"{file}: [{name}] {key}"
            param = options[_known(key.replace("_", "-"), options, setting)]
            found[param.name] = _at_home(_checked(value, hints[param.name], param, context, setting), setting)
        _tell_strange(name, variables.values(), commands)
        set_by = dict.fromkeys(found, str(file))
        for key, param in options.items():
            if written := os.environ.get(variables[key]):
                set_by[param.name] = variables[key]
                if param.multiple:
                    parts = [part.strip() for part in written.split(_SEPARATOR) if part.strip()]
                    found[param.name] = _at_home(parts, variables[key])
                else:
                    os.environ[variables[key]] = _at_home(written, variables[key])
        context.default_map = found
        context.meta[_ORIGINS] = set_by

    command.params.append(_config_option(settle, variable(name, "OPTION")))
    return command


def _at_home(value: Any, setting: str) -> Any:
    """A value, or each of a list, with `~/` at its beginning turned into the home folder, as a shell does.

    Raises CallError if there is none, as for a user of a container: a folder called `~` is not what was meant.
    """
    if isinstance(value, list):
        return [_at_home(one, setting) for one in value]
    if not isinstance(value, str) or value.split("/")[0] != "~":
        return value
    found = os.path.expanduser(value)  # noqa: PTH111
    if found == value:
        raise CallError(f"{setting} = {value}: this user has no home folder: set HOME, or write the path in full")
    return found


def _tell_strange(command: str, known: Collection[str], commands: Collection[str]) -> None:
    """Warn of variables that belong to no option; no error, as Kubernetes sets some for a service like ctseg-batch."""
    prefix, all_commands = variable(command, ""), tuple(variable(one, "") for one in commands)
    for name in sorted(name for name in os.environ if name.startswith(_OURS) and name not in (VARIABLE, *known)):
        if name.startswith(prefix):
            # What all have in common must not count, else any name would be near to some other.
            near = get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            typer.echo(f"{name} is set, but ctseg {command} has no such option: it is ignored{hint}", err=True)
        elif not name.startswith(all_commands) and not _OF_KUBERNETES.match(name):
            typer.echo(f"{name} is set, but begins with no command, like {_OURS}BATCH_: it is ignored", err=True)


def variable(command: str, option: str) -> str:
    """The environment variable of an option: CTSEG_BATCH_SERIES_FILTER of `series-filter`."""
    return f"{_OURS}{command}_{option}".replace("-", "_").upper()


def origins(context: typer.Context) -> dict[str, str]:
    """The origin of each parameter that is set by the environment or a file: the variable's name, or the file."""
    noted: Mapping[str, str] = context.meta.get(_ORIGINS, {})
    typed = {name for name in noted if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    return {name: origin for name, origin in noted.items() if name not in typed}


def read_table(file: Path, name: str, commands: Collection[str]) -> Mapping[str, Any]:
    """The table of the command `name`; raises CallError for a file that is not TOML, or has tables of no command."""
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors put a mark in front
    except OSError as error:
        raise CallError(f"the settings file {file} can't be read: {error.strerror}") from error
    except ValueError as error:  # also of what is not UTF-8
        raise CallError(f"{file} is not a TOML file: {error}") from error
    for key, value in read.items():
        if not isinstance(value, dict):
            raise CallError(f"{file}: {key} is outside a table: write it below the name of its command, like [batch]")
        _known(key, commands, f"{file}: [{key}]")
    return typing.cast("Mapping[str, Any]", read.get(name, {}))


def _known(key: str, known: Collection[str], setting: str) -> str:
    """The key, if it is known; else the error suggests the nearest one."""
    if key in known:
        return key
    near = get_close_matches(key, known, 1)
    raise CallError(
        f"{setting} is not known: " + (f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}")
    )


def _key(param: Any) -> str:
    """The key of an option in a file: its name without the dashes."""
    return str(max(param.opts, key=len)).lstrip("-")


def _is_joined(param: Any) -> bool:
    """Whether an option takes a list separated by commas, as in --write mask,overlay."""
    return "," in (param.metavar or "")


def _checked(value: Any, hint: Any, param: Any, context: typer.Context, setting: str) -> Any:
    """A value from a file in the form that Typer takes; raises CallError for one of another type, or out of range."""
    kinds = {hint, *typing.get_args(hint)}
    is_joined = _is_joined(param)
    if is_joined and param.multiple and isinstance(value, str):
        value = [value]
    if bool in kinds:
        fits, wanted = isinstance(value, bool), "true or false"
    elif int in kinds:
        fits, wanted = type(value) is int, "a whole number"
    elif float in kinds:
        fits, wanted = type(value) in (int, float), "a number"
    elif param.multiple:
        fits, wanted = isinstance(value, list) and all(isinstance(v, str) for v in value), "a list of strings"
    elif is_joined and isinstance(value, list):
        fits, wanted = all(type(v) in (str, int, float) for v in value), "a list of strings or numbers"
        value = ",".join(map(str, value))
    else:
        fits, wanted = isinstance(value, str), 'a string, in "quotation marks"'
    if not fits:
        raise CallError(f"{setting} = {value!r}: give {wanted}")
    try:
        param.process_value(context, value)
    except typer.BadParameter as error:
        raise CallError(f"{setting} = {value!r}: {error.message}") from error
    return value


def _config_option(settle: Any, any_variable: str) -> Any:
    """The option `--config`, processed before all others; its help mentions `any_variable`."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def holder(
        config: Annotated[
            Path | None,
            typer.Option(
                "--config",
                help=f"File with settings; by default {FILE} in the current folder, if there is one. "
                f"Options can also be set in the environment, as {any_variable}.",
                metavar="FILE",
                envvar=VARIABLE,
                show_envvar=True,
                is_eager=True,
                expose_value=False,
                callback=settle,
            ),
        ] = None,
    ) -> None:
        """Holds the option."""

    (option,) = (param for param in typer.main.get_command(app).params if param.name == "config")
    return option
