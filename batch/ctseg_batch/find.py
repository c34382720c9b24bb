"""Find the inputs of a call, in folders or in a store, and check that OUT is not among them."""

from collections.abc import Collection, Iterable
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.call import Call
from ctseg_batch.inputs.discover import Found, discover
from ctseg_batch.inputs.input_files import InputFiles
from ctseg_batch.layout import RECORD
from ctseg_batch.url import Location, Url, is_within, real


def find(call: Call, folders: Collection[str]) -> tuple[Found, InputFiles]:
    """The inputs, and the access to their files; raises CallError if outputs would be written among them."""
    given = [*call.inputs, *call.listed]
    truths = [call.truth] if call.truth else []
    urls, paths = _urls(given), _paths(given)
    if call.truth and real(call.truth) in map(real, paths):
        raise CallError(f"--truth {call.truth}: this is the INPUT; name the folder that holds its reference masks")
    _keep_apart([*given, *truths], call.out, (*folders, RECORD))
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


def _keep_apart(read: Iterable[Location], out: Location, folders: Iterable[str]) -> None:
    """Refuse an OUT whose files would lie among those that are read; an OUT within an input is not searched."""
    home, owned = real(out), [real(out / folder) for folder in folders]
    for given in read:
        place = real(given)
        if place == home or any(is_within(place, folder) for folder in owned):
            raise CallError(f"--out {out}: {given} is read, and would be written to; name another place")
