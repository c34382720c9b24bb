"""`ctseg summarize`: join the summaries of many runs into one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctseg.errors import CallError, require
from ctseg.standard_output import standard_output

if TYPE_CHECKING:
    from rich.console import Console

    from ctseg_batch.figures.runs import Run
    from ctseg_batch.url import Location

# Not one of the locks of runs: these may go on meanwhile.
_LOCK = "summarize.lock"
_INSTANT = 0.5


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
    from ctseg_batch.remote.results import at_hand, written_to
    from ctseg_batch.terminal.console import people_console, show
    from ctseg_batch.terminal.table import end_of_run, failures
    from ctseg_batch.url import location

    if as_json and as_csv:
        raise CallError("--json and --csv: standard output can hold only one of them")
    if parquet and out is None:
        raise CallError("--parquet: name a folder for it with --out")
    if parquet:
        require(PARQUET_MODULE, PARQUET_EXTRA)
    console = people_console()
    with _alone(out, console), at_hand([location(run) for run in runs]) as folders:
        if out is not None:
            _keep_apart(out, runs)
        found = [one for run, at in zip(runs, folders, strict=True) for one in read_runs(at, run)]
        if not mixed:
            check_alike(found)
        joined = join(found)
        summary = joined.summary
        if out is not None:
            with written_to(location(out)) as folder:
                write_tables(folder, summary, joined.slices, parquet)
                _check_unchanged(found, folder)
        else:
            _check_unchanged(found, None)
    show(console, failures(summary) if quiet else end_of_run(summary, console.width))
    if as_json or as_csv:
        with standard_output("" if out is None else "what --out names is complete") as stream:
            if as_json:
                stream.write(to_json(summary))
            else:
                print_csv(stream.buffer, *summary_table(summary))
    raise typer.Exit(exit_status(summary))


@contextmanager
def _alone(out: str | None, console: "Console") -> Iterator[None]:
    """Wait for others that join runs into the same OUT: each job of a cluster may do so at its end."""
    from ctseg.claim import claim, is_held
    from ctseg_batch.layout import FOLDER
    from ctseg_batch.url import location

    folder = None if out is None else location(out)
    if not isinstance(folder, Path) or not (folder / FOLDER).is_dir():
        yield
        return
    lock = f"{FOLDER}/{_LOCK}"
    if is_held(folder / lock, _INSTANT):
        console.print(f"waiting for another ctseg summarize --out {out}")
    with claim(folder, lock, wait_s=-1):
        yield


def _check_unchanged(runs: Iterable["Run"], folder: Path | None) -> None:
    """Raise CallError, and leave no summary.json in `folder`, if any of the runs that it joins has begun again."""
    from ctseg_batch.figures.tables import SUMMARY_JSON
    from ctseg_batch.outputs.files import remove

    try:
        for run in runs:
            run.check_unchanged()
    except CallError:
        if folder:
            remove([folder / SUMMARY_JSON])
        raise


def _keep_apart(out: str, runs: Iterable[str]) -> None:
    """Refuse to overwrite foreign files, or a run; the joint tables of shards may go into the OUT of these shards."""
    from ctseg_batch.figures.tables import shard_of
    from ctseg_batch.foreign import names_in, refuse_foreign_tables
    from ctseg_batch.layout import journal_file, journal_files
    from ctseg_batch.remote.results import at_hand
    from ctseg_batch.url import Url, check_writable, location

    place = location(out)
    if isinstance(place, Url):
        check_writable(place)
    same = [run for run in runs if _is_same(location(run), place)]
    with at_hand([place]) as (folder,):
        of_shards = any(map(shard_of, names_in(folder)))
        if (journal_file(folder, "").exists() and not of_shards) or (same and not journal_files(folder)):
            raise CallError(f"--out {out} holds a run of its own: name another folder")
        refuse_foreign_tables(out, folder)


def _is_same(one: "Location", other: "Location") -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other
