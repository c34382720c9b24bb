"""Notes: lines on a run as a whole, and how those of several runs are joined."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ctseg.datasets.dataset import mask_folders
from ctseg.errors import DatasetError
from ctseg.printable import count
from ctseg.reading.kind import kind_by_name, stem_of
from ctseg.spacing import Spacing
from ctseg.window import Window
from ctseg_batch.figures.totals import ScanEntry
from ctseg_batch.layout import results_around
from ctseg_batch.result import LeftOut, PartResult
from ctseg_batch.url import ARCHIVE, Location

if TYPE_CHECKING:
    from ctseg_batch.inputs.discover import Found

_MOST_ENDINGS = 5
_ENDINGS_TOLD = {"": "without an ending", f".{ARCHIVE}": f".{ARCHIVE} ({ARCHIVE}::FILE reads one)"}
_UNUSED_SPACING = "--spacing was not used: the files give their own"
_UNUSED_WINDOW = "--window was not used: no slice is 8-bit grey"
_UNUSED = (_UNUSED_SPACING, _UNUSED_WINDOW)
# The lines that count what each run did itself: those of several runs are added up.
_REMOVED = re.compile(r"removed, as --write no longer names it: (?P<kind>\S+) of (?P<number>[\d,]+) scans?")
_LEARNT = re.compile(r"the model learnt from (?P<number>\d+) of these slices \((?P<dataset>.*)\): .*", re.DOTALL)
NO_TRUTH = "no reference mask was found for any slice: "
"""The beginning of the note of a run that has a truth but scored nothing."""


def without_output(left_out: Iterable[Iterable[LeftOut]]) -> list[str]:
    """A line for each kind of output and reason with the number of scans that lack it; `left_out` is by scan."""
    counts = Counter(chain.from_iterable(map(set, left_out)))
    return [f"no {one.kind} of {count(scans, 'scan')}: {one.reason}" for one, scans in sorted(counts.items())]


def removed(scans: Mapping[str, int], verb: str = "removed") -> Iterator[str]:
    """A line for each kind of output that is removed because --write does not name it; `scans` is how many lose it."""
    for kind, many in sorted(scans.items()):
        yield f"{verb}, as --write no longer names it: {kind} of {count(many, 'scan')}"


def learnt_from(slices: int, dataset: str) -> str:
    """The line of a run that scores slices of a data set that its model learnt from."""
    return f"the model learnt from {slices:,} of these slices ({dataset}): their scores are not independent"


def unused(spacing: Spacing | None, window: Window | None, results: Iterable[PartResult]) -> Iterator[str]:
    """A line if --spacing was given and no scan needed it, and one for --window."""
    done = [part for part in results if part.labelled]
    if spacing and done and not any(part.is_spacing_said for part in done):
        yield _UNUSED_SPACING
    if window and done and not any(part.window_hu for part in done):
        yield _UNUSED_WINDOW


def of_earlier_calls(scans: int) -> Iterator[str]:
    """A line if OUT holds more scans than the summary."""
    if scans:
        yield f"OUT also holds outputs of {count(scans, 'scan')} from earlier calls, which this summary leaves out"


def on_search(found: "Found") -> Iterator[str]:
    """The lines on what the search of the inputs left out."""
    yield from _passed_over(found.passed_over)
    yield from set_aside(found.set_aside)
    yield from _met_again(found.repeated_links)


def _passed_over(inputs: Iterable[Location]) -> Iterator[str]:
    """A line for each INPUT that holds only what is never searched."""
    return (f"no CT in {path}, only results or reference masks" for path in inputs)


def set_aside(folders: Mapping[str, int]) -> Iterator[str]:
    """A line if folders were not searched because of their name."""
    if folders:
        told = ", ".join(name if many == 1 else f"{name} ({many} folders)" for name, many in sorted(folders.items()))
        yield f"not searched: {told}: deleted files, snapshots and the like; name such a folder to search it"


def _met_again(links: int) -> Iterator[str]:
    """A line where links lead to files that are searched themselves."""
    if links:
        told = "a link leads" if links == 1 else f"{links} links lead"
        yield f"{told} to files that are themselves below an INPUT: these are taken once"


def ignored(many: int, endings: Mapping[str, int]) -> Iterator[str]:
    """A line if files were ignored, with the most common of their `endings`: a whole format may be among them."""
    if many:
        told = "1 file of another kind was ignored" if many == 1 else f"{many} files of other kinds were ignored"
        ranked = sorted(endings.items(), key=lambda pair: (-pair[1], pair[0]))
        named = [f"{number} {_ENDINGS_TOLD.get(ending, ending)}" for ending, number in ranked[:_MOST_ENDINGS]]
        rest = sum(number for _, number in ranked[_MOST_ENDINGS:])
        yield ": ".join(filter(None, [told, ", ".join([*named, *([f"{rest} others"] if rest else [])])]))


def without_truth(results: Iterable[PartResult], truth: Path, root: str) -> Iterator[str]:
    """A line if a truth was given but has a mask for none of the slices: it may be the wrong folder."""
    done = [part for part in results if part.labelled]
    if done and all(_has_no_truth(part) for part in done):
        sources = [[one.source for one in part.slice_figures()] for part in done]
        folder, _, name = sources[0][0].rpartition("/")
        hint = next(_hints(sources, truth, root), "")
        yield f"{NO_TRUTH}there is no {truth / folder / stem_of(name)}.*, nor any other{hint}"


def of_another_run(truth: Path) -> Iterator[str]:
    """A line if the masks that a run is compared with lie where another run wrote its own; they may be corrected."""
    if folder := results_around(truth.resolve()):
        where = f"the reference masks are in {folder.parent}, where ctseg wrote its own"
        yield f"{where}: unless they were corrected, the scores compare two runs"


def _hints(sources: Sequence[Sequence[str]], truth: Path, root: str) -> Iterator[str]:
    """What may be wrong, by the files of each part: the truth is a level off, a data set, or its masks are a volume."""
    below = truth / PurePath(root).name
    home, near = Path(root).resolve(), (below, truth.parent, *_masks_in(truth))
    levels = [one for one in near if not one.resolve().is_relative_to(home)]
    parts = [(*names[0].rpartition("/")[::2], len(set(names)) > 1) for names in sources]
    for folder, name, _ in parts:
        for level in levels:
            if any(stem_of(one.name) == stem_of(name) for one in _listed(level / folder)):
                yield f"; did you mean --truth {level}?"
    for folder in (folder for folder, _, is_of_files in parts if is_of_files):
        for one in (*_listed(truth / folder), *_listed(below / folder)):
            if kind_by_name(one.name) == "volume":
                yield f"; {one} is a volume, but slices in separate files need a mask each"


def _masks_in(dataset: Path) -> list[Path]:
    """The folder of masks, if that is a data set; none if its description can't be read."""
    try:
        return sorted(mask_folders([dataset]))
    except DatasetError:
        return []


def _listed(folder: Path) -> list[Path]:
    """The entries of a folder; none if it does not exist or can't be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _has_no_truth(part: PartResult) -> bool:
    return not part.bad_truth and part.unscored == part.labelled


def joined_notes(
    summaries: Sequence[Mapping[str, Any]], counts: Sequence[int], scans: Sequence[ScanEntry]
) -> list[str]:
    """The notes that a single run over all `scans` would have; `counts` is how many are from each summary."""
    told: dict[str, None] = {}
    gone: Counter[str] = Counter()
    learnt: Counter[str] = Counter()
    for summary, many in zip(summaries, counts, strict=True):
        counted = _not_made(summary["scans"])
        for note in summary["notes"]:
            if one := _REMOVED.fullmatch(note):
                gone[one["kind"]] += int(one["number"].replace(",", "")) if many else 0
            elif one := _LEARNT.fullmatch(note):
                learnt[one["dataset"]] += int(one["number"]) if many else 0
            elif not note.startswith((NO_TRUTH, *_UNUSED)) and note not in counted:
                told[note] = None
    done = [one for one in summaries if any(scan["status"] != "failed" for scan in one["scans"])]
    told |= {note: None for note in _UNUSED if done and all(note in one["notes"] for one in done)}
    without = [*_not_made(scans), *_all_without_truth(summaries, scans)]
    return [*told, *removed(+gone), *without, *(learnt_from(many, name) for name, many in (+learnt).items())]


def _not_made(scans: Iterable[ScanEntry]) -> list[str]:
    return without_output([LeftOut(**one) for one in scan["left_out"]] for scan in scans)


def _all_without_truth(summaries: Sequence[Mapping[str, Any]], scans: Iterable[ScanEntry]) -> Iterator[str]:
    """The line of the run with the first scan, if all runs that had a truth and did a scan have such a line."""
    number_of = {scan["scan"]: number for number, scan in enumerate(scans) if scan["status"] != "failed"}
    said: dict[int, str | None] = {}
    for summary in summaries:
        done = [number_of[scan["scan"]] for scan in summary["scans"] if scan["scan"] in number_of]
        if done and summary["groups"] is not None:
            said[min(done)] = next((note for note in summary["notes"] if note.startswith(NO_TRUTH)), None)
    lines = [line for _, line in sorted(said.items()) if line]
    if len(lines) == len(said):
        yield from lines[:1]
