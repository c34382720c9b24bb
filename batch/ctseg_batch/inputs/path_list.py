"""A list of paths, as other programs write them: for `--from`."""

import codecs
import os
import sys
from pathlib import Path

from ctseg.errors import CallError
from ctseg_batch.url import Location, location

STANDARD_INPUT = "-"


def read_paths(file: str) -> list[Location]:
    """The paths or URLs in `file`, or with `-` in standard input, in its order; raises CallError, also for none.

    One a line; where there is a NUL byte, as after `find -print0`, NUL bytes separate them and line ends are part of
    names. Blank lines are passed over, all else is taken as it stands. As on the command line, a relative path begins
    at the current folder.
    """
    if file == STANDARD_INPUT and sys.stdin is None:
        raise CallError(f"--from {file}: there is no standard input")
    try:
        content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise CallError(f"--from {file} can't be read: {error.strerror}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CallError(f"--from {file} is in UTF-16: save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    names = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    paths = [location(os.fsdecode(name)) for name in names if name.strip()]
    if not paths:
        raise CallError(f"--from {file} lists no path")
    return paths
