"""The OUT of `ctseg summarize`: apart from other runs, written by one call at a time, from runs that stay put."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ctseg.errors import CallError
from ctseg.process.claim import INSTANT_S, claim, is_held
from ctseg_batch.figures.runs import Run
from ctseg_batch.foreign import refuse_foreign_tables
from ctseg_batch.layout import RECORD, SUMMARY_JSON, journal_file, journal_files, names_in, shard_of
from ctseg_batch.outputs.files import remove
from ctseg_batch.remote.results import at_hand
from ctseg_batch.run_folder import LOCK, excludes
from ctseg_batch.shards import Shard
from ctseg_batch.url import Url, check_writable, location, real

# No run is shard 0: under its mark, the lock excludes other cuts and runs without shards, but not shards at work.
_JOINING = 0
_LONGEST_WAIT_S = 3600.0


def hold(out: str | None, runs: Iterable[str], remark: Callable[[str], None]) -> AbstractContextManager[None]:
    """Keep other runs out of an OUT of shards; if another call is joining them already, say so and wait.

    Each job of a cluster may join the shards at its end. Whoever may write in OUT but not make the lock goes without.
    Raises CallError for an OUT that holds anything else than the `runs`, or what was made of some before.
    """
    if out is None:
        return nullcontext()
    _keep_apart(out, runs)
    folder = location(out)
    names = names_in(folder) if isinstance(folder, Path) else set()
    cuts = {shard.of for shard in map(shard_of, names) if shard}
    if not isinstance(folder, Path) or len(cuts) != 1 or RECORD not in names:
        return nullcontext()
    mark = Shard(_JOINING, *cuts).mark
    lock = f"{RECORD}/{LOCK}{mark}"
    try:
        if is_held(folder / lock, INSTANT_S):
            remark(f"waiting for another ctseg summarize --out {out}, which holds {folder / lock}")
    except PermissionError:
        return nullcontext()
    return claim(folder, lock, excludes(mark), _LONGEST_WAIT_S)


def check_unchanged(runs: Iterable[Run], folder: Path) -> None:
    """Raise CallError if any of the runs has begun again, and leave no summary.json of their earlier state in `folder`.

    A shard that begins removes both summaries first. So if it has begun before this, this sees it, and if later, it
    removes the joint one itself.
    """
    try:
        for run in runs:
            run.check_unchanged()
    except CallError:
        remove([folder / SUMMARY_JSON])
        raise


def _keep_apart(out: str, runs: Iterable[str]) -> None:
    """Refuse to overwrite foreign files, or a run; the joint tables of shards may go into the OUT of these shards."""
    where = location(out)
    if isinstance(where, Url):
        check_writable(where)
    same = [run for run in runs if real(location(run)) == real(where)]
    with at_hand([where]) as (folder,):
        of_shards = any(map(shard_of, names_in(folder)))
        if (journal_file(folder, "").exists() and not of_shards) or (same and not journal_files(folder)):
            raise CallError(f"--out {out} holds a run of its own: name another folder")
        refuse_foreign_tables(out, folder)
