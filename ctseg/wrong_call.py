"""What is wrong with a call, in one line and in plain words, where Typer has a box and pydantic sentences."""

from typing import Any

# Typer converts values by pydantic, whose messages say "Input should be ...": the ends of these, and ours.
_WANTED = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "1 or 0",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}


def call(command: Any, arguments: list[str], name: str) -> Any:
    """Call a Typer command by its name for people, and return its exit status; raises CallError for a wrong call."""
    from typer import Abort, BadParameter

    from ctseg.errors import CallError

    usage_error: Any = BadParameter.__base__  # of all wrong calls, but Typer does not export it
    try:
        return command(args=arguments, prog_name=name, standalone_mode=False)
    except usage_error as error:
        raise CallError(_told(error, name)) from None
    except Abort:
        return 1


def fail_plainly(param: Any) -> None:
    """Make a parameter's errors plain: without pydantic's phrases, and with the variable that set the value."""
    from typer import BadParameter

    process = param.process_value

    def plainly(context: Any, value: Any) -> Any:
        try:
            return process(context, value)
        except BadParameter as error:
            error.message = _plain(error.message)
            if getattr(context.get_parameter_source(param.name), "name", "") == "ENVIRONMENT":
                error.message = f"{param.envvar}: {error.message}"
            raise

    param.process_value = plainly


def _plain(message: str) -> str:
    """`give at least 1` for `Input should be greater than or equal to 1`; any other message as it is."""
    wanted = message.removeprefix("Input should be ")
    for theirs, ours in _WANTED.items():
        if wanted != message and wanted.startswith(theirs):
            return f"give {ours}{wanted.removeprefix(theirs).partition(',')[0]}"
    return message.removeprefix("Value error, ")


def _told(error: Any, name: str) -> str:
    """The message of a UsageError: with an example if something is missing, else a suggestion or where to look."""
    param = getattr(error, "param", None)
    if param and not error.message:
        missing = param.metavar if param.param_type_name == "argument" else max(param.opts, key=len)
        example = (error.ctx.command.help or "").partition("Example: ")[2].partition("\n")[0]
        return f"{missing} is missing; for example: {example}"
    near = getattr(error, "possibilities", None)
    told = error.message if near else error.format_message()
    told = (told[:1].lower() + told[1:]).rstrip(".").replace(". Did you mean", ": did you mean")
    told = told.replace("no such option: ", "no such option ")
    if near:
        return f"{told}: did you mean {' or '.join(near)}?"
    return told if param or told.endswith("?") else f"{told}; see {name} --help"
