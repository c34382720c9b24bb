"""The pictures of a scan: the slices that matter, and the patient from the front."""

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from ctseg import flags
from ctseg.measures import involvement
from ctseg.spacing import Spacing
from ctseg.turn import Side
from ctseg_batch.reporting.choose import choose_slices
from ctseg_batch.reporting.frontal import Survey, from_the_front, survey
from ctseg_batch.reporting.images import Picture, Size, coloured, fit, picture
from ctseg_batch.reporting.results import own_files
from ctseg_batch.reporting.sources import ScanFiles
from ctseg_batch.reporting.words import lost_told, lungs_told, missing_told, stored_told, tile_alt

_TILE: Size = (200, 220)
_FEWEST_FOR_A_PLANE = 3

_NOTHING = "Nothing can be shown: neither masks nor overlays are in place; ctseg batch --write mask,overlay makes them."
_FETCHED = "The scan was read from an archive or a store, or nothing tells where, so only its masks are shown."
_MOVED = "The scan is no longer where the run read it, so only its masks are shown."
_UNREAD = "The scan is where the run read it, but can't be read or has changed, so only its masks are shown."
_TURNED = "It is not shown from the front, since its slices are stored in several orientations."
_NO_SPACING = "Its spacing is not known, so it has no volumes: ctseg batch --spacing Z,Y,X (mm) gives them."
_NO_SPACING_OF_A_STACK = (
    "Its spacing is not known, so it has no volumes and is not shown from the front: "
    "ctseg batch --spacing Z,Y,X (mm) gives it both."
)
_UNEVENLY = frozenset({flags.UNEVEN_SPACING, flags.GAP, flags.DUPLICATE_POSITIONS})
_UNEVEN = "From the front, all slices are drawn equally high, though they are not evenly spaced."


@dataclass(frozen=True, slots=True)
class Tile:
    """A slice of the montage: its `index` in the scan, `why` it was chosen if for more than that.

    `file`: the one that it has to itself, below the root; empty where there is none.
    """

    index: int
    file: str
    why: str
    involvement: float | None
    picture: Picture


@dataclass(frozen=True, slots=True)
class ScanPictures:
    """The pictures of a scan, from the head to the feet. `notes` say what is missing, and why.

    `lungs` says which of them is where in `plane` and in `depth`.
    """

    tiles: tuple[Tile, ...] = ()
    plane: Picture | None = None
    depth: Picture | None = None
    lungs: str = ""
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Their bytes in the page."""
        shown = [*(tile.picture for tile in self.tiles), *filter(None, (self.plane, self.depth))]
        return sum(one.bytes for one in shown)


def draw(
    files: ScanFiles, spacing: Spacing | None, right: Side | None, pool: Executor, flagged: Collection[str]
) -> ScanPictures:
    """The pictures of a scan; `spacing`, or on which side the patient's `right` is, is None where it is not known.

    `flagged`: its flags.
    """
    rows, own = files.rows, own_files(files.rows)
    found = survey(files, spacing, right or "left", pool)
    chosen = choose_slices(rows)
    alts = [tile_alt(index, own[index], rows[index].pixels or ()) for index in chosen]
    drawn = pool.map(partial(_tile, files, found, spacing), chosen, alts)
    tiles = [
        Tile(index, own[index], why, involvement(rows[index].pixels or ()), shown)
        for (index, why), shown in zip(chosen.items(), drawn, strict=True)
        if shown
    ]
    plane = depth = None
    is_mixed = flags.MIXED_ORIENTATIONS in flagged
    if found and not (found.missing or is_mixed) and found.depth.any() and spacing and len(rows) >= _FEWEST_FOR_A_PLANE:
        is_head_known = right is not None and not flags.order_among(flagged)
        plane, depth = from_the_front(files, found, spacing, pool, is_head_known=is_head_known)
    notes = list(_notes(files, found, spacing, right, tiles)) if tiles else [_NOTHING]
    if plane and not _UNEVENLY.isdisjoint(flagged):
        notes.append(_UNEVEN)
    elif found and is_mixed and not found.missing:
        notes.append(_TURNED)
    return ScanPictures(tuple(reversed(tiles)), plane, depth, lungs_told(right), tuple(notes))


def _notes(
    files: ScanFiles, found: Survey | None, spacing: Spacing | None, right: Side | None, tiles: Sequence[Tile]
) -> tuple[str, ...]:
    notes = [stored_told(right)] if right and right != "left" else []
    if not any(tile.picture.ct for tile in tiles):
        notes.append(_FETCHED if not files.is_local else _UNREAD if files.in_place else _MOVED)
    if files.lost:
        notes.append(lost_told(files.lost))
    if spacing is None:
        notes.append(_NO_SPACING_OF_A_STACK if len(files.rows) >= _FEWEST_FOR_A_PLANE else _NO_SPACING)
    if found and found.missing:
        notes.append(missing_told(found.missing))
    elif spacing and found is None:
        notes.append("It is not shown from the front: that needs masks, all of one size.")
    return tuple(notes)


def _tile(files: ScanFiles, found: Survey | None, spacing: Spacing | None, index: int, alt: str) -> Picture | None:
    labels = files.labels(index)
    if labels is None:
        shown = files.overlay(index)
        return None if shown is None else coloured(shown, fit(shown.shape[:2], _TILE), alt)
    grey = files.ct(index, labels.shape)
    if found:
        labels, grey = labels[found.box], None if grey is None else grey[found.box]
    _, down, across = spacing or (1.0, 1.0, 1.0)
    size = fit((labels.shape[0] * down, labels.shape[1] * across), _TILE)
    return picture(grey, labels, size, alt)
