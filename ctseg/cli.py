"""The `ctseg` command: a table of commands, each loaded when it is called."""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import typer


class Command(NamedTuple):
    """Where a command lives (a module with a function of its name) and its line of help."""

    module: str
    help: str


COMMANDS = {
    "batch": Command("ctseg_batch.commands.batch", "Segment folders of CT: masks, volumes and a summary table."),
    "report": Command("ctseg_batch.commands.report", "Write a report of a run as one HTML file."),
    "summarize": Command("ctseg_batch.commands.summarize", "Join the summaries of several runs into one."),
    "profile": Command("ctseg_batch.commands.profile", "Measure how fast a run on your files is, and what limits it."),
    "demo": Command("ctseg_batch.commands.demo", "Segment two synthetic scans, to see what the output looks like."),
    "inspect": Command("ctseg_batch.commands.inspect", "Print a model file's description of itself."),
    "train": Command("ctseg.training.train", "Train a U-Net on slices with masks."),
    "evaluate": Command("ctseg.training.evaluate", "Score a checkpoint or a model file on data sets."),
    "export": Command("ctseg_export.command", "Turn a checkpoint into a self-describing ONNX file."),
}


HELP = ["--help", "-h"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `ctseg ARGUMENTS` and leave the process with the command's exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from ctseg.errors import CtsegError, unforeseen
        from ctseg.process.lenient import make_lenient
        from ctseg.wrong_call import call

        make_lenient()
        if given and given[0] in COMMANDS:
            _silence_logs()
            sys.exit(call(load(given[0]), given[1:], f"ctseg {given[0]}"))
        sys.exit(call(front_page(), given or ["--help"], "ctseg"))
    except KeyboardInterrupt:  # before the command could handle it
        sys.exit(130)
    except CtsegError as error:
        _leave(str(error))
    except OSError as error:
        _leave(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported in one line
        _leave(f"internal error, please report it: {unforeseen(error)} ({_place(error)})")


def load(name: str) -> Any:
    """Load a command of the table, with settings from the environment and a file."""
    import typer.main

    from ctseg.plain_help import tell_plainly
    from ctseg.settings import open_to_settings
    from ctseg.wrong_call import fail_plainly

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(getattr(importlib.import_module(COMMANDS[name].module), name))
    command = typer.main.get_command(app)
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n"))
    command = open_to_settings(command, name, COMMANDS)
    command.context_settings["help_option_names"] = HELP
    tell_plainly(command)
    for param in command.params:
        fail_plainly(param)
    return command


def _leave(reason: str) -> NoReturn:
    """Exit with status 2 and the reason in one line."""
    from rich.console import Console
    from rich.text import Text

    from ctseg.printable import printable

    said = Text.assemble(("error:", "bold red"), f" {printable(reason)}")
    Console(stderr=True, soft_wrap=True).print(said)
    sys.exit(2)


def _place(error: BaseException) -> str:
    """The file and line that raised an error."""
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _silence_logs() -> None:
    """Discard what libraries log: faults of files are reported once, in our own words."""
    import logging

    logging.basicConfig(handlers=[logging.NullHandler()])


def front_page() -> "typer.Typer":
    """`ctseg` without a command: the list of commands, `--version`, completion, errors for unknown commands."""
    import typer
    from typer.core import TyperGroup

    class Table(TyperGroup):
        """Loads a command only if its options are completed; its line of help is in the table."""

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            if args[0] in COMMANDS:
                return args[0], load(args[0]), args[1:]
            return super().resolve_command(ctx, args)

    app = typer.Typer(
        cls=Table,
        help="How much of the lungs is normal, ground glass or consolidated? For research, not for diagnosis.",
        no_args_is_help=True,
        context_settings={"help_option_names": HELP},
        rich_markup_mode=None,  # rich's help takes as long to load as all the rest
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            from ctseg import __version__
            from ctseg.process.standard_output import standard_output

            with standard_output() as stream:
                stream.write(f"ctseg {__version__}\n")
            raise typer.Exit

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Print the version and exit."
        ),
    ) -> None:
        pass

    for name, command in COMMANDS.items():
        app.command(name, help=command.help)(lambda: None)
    return app
