"""Find the inputs of a call, in folders or in a store, and check that OUT is not among them."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.call import Call
from ctseg_batch.inputs.discover import Found, discover
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.layout import RECORD
from ctseg_batch.url import Location, Url


def find(call: Call, folders: Collection[str]) -> tuple[Found, InputFiles]:
    """The inputs, and the access to their files; raises CallError if outputs would be written among them."""
    given = [*call.inputs, *call.listed]
    truths = [call.truth] if call.truth else []
    urls, paths = _urls(given), _paths(given)
    if any(os.path.realpath(truth) == os.path.realpath(path) for truth in truths for path in paths):
        raise CallError(f"--truth {call.truth}: this is the INPUT; name the folder that holds its reference masks")
    if isinstance(call.out, Path):
        _keep_apart([*paths, *truths], call.out, [call.out / folder for folder in (*folders, RECORD)])
    else:
        _keep_urls_apart(urls, call.out, (*folders, RECORD))
    if not urls:
        if isinstance(call.root, Url):
            raise CallError(f"--root {call.root}: the inputs are not below it")
        folder = call.out if isinstance(call.out, Path) else None
        return discover(_paths(call.inputs), truths, _paths(call.listed), call.root, folder), InputFiles()
    from ctseg_batch.remote.discover import discover_urls

    if paths or isinstance(call.root, Path):
        raise CallError("some INPUTs are on this machine and some in a store: call once for each")
    out = call.out if isinstance(call.out, Url) else None
    return discover_urls(_urls(call.inputs), out, _urls(call.listed), call.root)


def _urls(places: Iterable[Location]) -> list[Url]:
    return [place for place in places if isinstance(place, Url)]


def _paths(places: Iterable[Location]) -> list[Path]:
    return [place for place in places if isinstance(place, Path)]


def _keep_apart(read: Collection[Path], out: Path, folders: Collection[Path]) -> None:
    """Refuse an OUT whose files would lie among those that are read; an OUT within an input is not searched."""
    home = Path(os.path.realpath(out))
    owned = [Path(os.path.realpath(folder)) for folder in folders]
    for given in read:
        real = Path(os.path.realpath(given))
        if real == home or any(real.is_relative_to(folder) for folder in owned):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another folder")


def _keep_urls_apart(read: Collection[Url], out: Url, folders: Collection[str]) -> None:
    """The same for URLs."""
    for given in read:
        below = given.below(out)
        if below is not None and below.partition("/")[0] in ("", *folders):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another place")
