"""`ctseg summarize`: join the summaries of many runs into one."""

from typing import Annotated

import typer

from ctseg.errors import CallError, require
from ctseg.process.standard_output import standard_output


def _tell_schema(wanted: bool) -> None:
    if wanted:
        from ctseg_batch.figures.summary_schema import SCHEMA_FILE

        with standard_output() as stream:
            stream.write(f"{SCHEMA_FILE}\n")
        raise typer.Exit


def summarize(
    runs: Annotated[list[str], typer.Argument(help="Output folders or URLs of `ctseg batch`.", metavar="OUT")],
    out: Annotated[
        str | None, typer.Option(help="Folder for the joined summary.json, summary.csv and slices.csv.", metavar="OUT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the joined summary.json on standard output.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the joined summary.csv on standard output.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also write the tables as Parquet.")] = False,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Allow runs with different models, versions, precisions, measures or truths."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report failures only.")] = False,
    schema: Annotated[  # noqa: ARG001 - it ends the call
        bool,
        typer.Option("--schema", callback=_tell_schema, is_eager=True, help="Print the path of summary.json's schema."),
    ] = False,
) -> None:
    """Join the summaries of several runs, shards or machines into one.

    A scan that is the same in two runs counts once. For a run split into shards, all finished shards are joined, and a
    scan that no shard has done counts as failed. Exit status: that of a single run over all the scans.

    Example: ctseg summarize results-a results-b --out all
    """
    from ctseg_batch.figures.columns import summary_table
    from ctseg_batch.figures.join import check_alike, join
    from ctseg_batch.figures.runs import read_runs
    from ctseg_batch.figures.summary import exit_status, to_json
    from ctseg_batch.figures.tables import PARQUET_EXTRA, PARQUET_MODULE, print_csv, write_tables
    from ctseg_batch.joint_out import check_unchanged, hold
    from ctseg_batch.remote.results import at_hand, written_to
    from ctseg_batch.terminal.console import people_console, show
    from ctseg_batch.terminal.table import end_of_run, failures
    from ctseg_batch.terminal.watch import ConsoleWatcher
    from ctseg_batch.url import location
    from ctseg_batch.watcher import Watcher

    if as_json and as_csv:
        raise CallError("--json and --csv: standard output can hold only one of them")
    if parquet and out is None:
        raise CallError("--parquet: name a folder for it with --out")
    if parquet:
        require(PARQUET_MODULE, PARQUET_EXTRA)
    console = people_console()
    watcher = Watcher() if quiet else ConsoleWatcher(console)
    with hold(out, runs, watcher.remark), at_hand([location(run) for run in runs]) as folders:
        found = [one for run, at in zip(runs, folders, strict=True) for one in read_runs(at, run)]
        if not mixed:
            check_alike(found)
        joined = join(found)
        summary = joined.summary
        if out is not None:
            with written_to(location(out)) as folder:
                write_tables(folder, summary, joined.slices, parquet)
                check_unchanged(found, folder)
    show(console, failures(summary) if quiet else end_of_run(summary, console.width))
    if as_json or as_csv:
        with standard_output("" if out is None else "what --out names is complete") as stream:
            if as_json:
                stream.write(to_json(summary))
            else:
                print_csv(stream.buffer, *summary_table(summary))
    raise typer.Exit(exit_status(summary))
