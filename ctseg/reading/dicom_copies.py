"""DICOM files that are copies of others, as where an export and its backup lie side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

from ctseg.errors import UnreadableFile
from ctseg.reading.dicom_decoders import is_plain
from ctseg.reading.dicom_header import SliceHeader
from ctseg.reading.dicom_pixels import read_numbers


def find_copies(slices: Iterable[SliceHeader]) -> set[Path]:
    """The files that are copies of another one, whose slices would count twice.

    Copies have the same SOPInstanceUID (PS3.3, C.12.1), header and pixels, in whatever transfer syntax; an uncompressed
    file is kept, else the one with the shortest name. UIDs alone are not enough, since some writers repeat them.
    """
    alike: dict[tuple[SliceHeader, ...], list[list[SliceHeader]]] = {}
    slices = [s for s in slices if s.sop_instance and (s.position, s.location, s.number) != (None,) * 3]
    slices.sort(key=lambda s: (not is_plain(s.pixels), len(s.file.name), s.file))
    for _, group in groupby(slices, lambda s: s.file):
        of_file = list(group)
        alike.setdefault(tuple(map(_bare, of_file)), []).append(of_file)
    return {file for files in alike.values() if len(files) > 1 for file in _repeated(files)}


def _bare(header: SliceHeader) -> SliceHeader:
    """A header without what copies may differ in: the file, its encoding, and of whom and when it says to be."""
    pixels = header.pixels.without_encoding()
    return replace(header, file=Path(), patient="", acquisition=None, frame_of_reference="", pixels=pixels)


def _repeated(alike: Sequence[Sequence[SliceHeader]]) -> set[Path]:
    """Of files with the same header, those with the pixels of an earlier one.

    An unreadable file counts as a copy too, unless the others have different pixels in spite of the same header.
    """
    pixels = {of_file[0].file: _pixels_digest(of_file) for of_file in alike}
    first = {digest: file for file, digest in reversed(pixels.items()) if digest}
    kept = set(first.values()) or {alike[0][0].file}
    return {file for file, digest in pixels.items() if file not in kept and (digest or len(kept) == 1)}


def _pixels_digest(slices: Sequence[SliceHeader]) -> bytes:
    """A digest of the decoded pixels of a file; empty if they can't be read."""
    digest = blake2b()
    try:
        for one in slices:
            digest.update(read_numbers(one.file, one.pixels).tobytes())
    except UnreadableFile:
        return b""
    return digest.digest()
