"""Which series the DICOM files of a folder make up: recorded, so that the next run can select without opening them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ctseg import flags
from ctseg_batch.result import Failure

if TYPE_CHECKING:
    from ctseg.reading.dicom_series import DicomSeries


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What series are selected by. A text that is missing in the files is empty, a number None.

    `uid` and `study` are the digests of the series and of its study, empty where it has no such UID. `spacing` is the
    distance of its slices and `thickness` their SliceThickness, both in mm. `is_computed`: some are projections or
    subtractions. `reach`: from where to where its slices cover the body along their normal, in mm.
    """

    uid: str
    study: str
    number: int | None
    description: str
    kernel: str
    thickness: float | None
    spacing: float | None
    slices: int
    is_computed: bool = False
    reach: tuple[float, float] | None = None

    def lies_apart_from(self, other: "SeriesFacts") -> bool:
        """Whether less than half of the shorter one lies beside the other; False where that is unknown."""
        if self.reach is None or other.reach is None:
            return False
        (low, high), (others_low, others_high) = self.reach, other.reach
        shorter = min(high - low, others_high - others_low)
        return min(high, others_high) - max(low, others_low) < shorter / 2

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "SeriesFacts":
        """The inverse of `asdict`, after a way through JSON."""
        return cls(**{**read, "reach": tuple(read["reach"]) if read["reach"] else None})


@dataclass(frozen=True, slots=True)
class ListedSeries:
    """A series as a scan: its name, the key of its inputs, and which of the folder's files are its own.

    `key` is None for a stack of frames: its truth is in another place, and may change when nothing in the folder does.
    `stretches` are the indices of its files among those of the folder, each as (first, last + 1).
    """

    scan_name: str
    key: str | None
    facts: SeriesFacts
    stretches: tuple[tuple[int, int], ...]

    def complements(self, other: "ListedSeries") -> bool:
        """Whether both are parts of one series: spread over folders, or stacks of frames one above the other."""
        if not self.facts.uid or self.facts.uid != other.facts.uid:
            return False
        return None not in (self.key, other.key) or self.facts.lies_apart_from(other.facts)

    def files(self, folder: Sequence[str]) -> Iterator[str]:
        """Its files out of all files of the folder."""
        for first, end in self.stretches:
            yield from folder[first:end]

    def to_json(self) -> dict[str, Any]:
        """What may be recorded: all but the description, which is free text and may name a patient."""
        facts = {**asdict(self.facts), "description": ""}
        return {"scan": self.scan_name, "key": self.key, "facts": facts, "runs": self.stretches}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "ListedSeries":
        """The inverse of `to_json`, after a way through JSON."""
        stretches = tuple((first, end) for first, end in read["runs"])
        return cls(read["scan"], read["key"], SeriesFacts.from_json(read["facts"]), stretches)


@dataclass(frozen=True, slots=True)
class Listing:
    """The series of a folder, chosen or not, and the files that are not slices."""

    series: tuple[ListedSeries, ...]
    skipped: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """What may be recorded, without the descriptions."""
        return {"series": [one.to_json() for one in self.series], "skipped": [asdict(one) for one in self.skipped]}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "Listing":
        """The listing back from `to_json`."""
        series = map(ListedSeries.from_json, read["series"])
        return cls(tuple(series), tuple(Failure(**one) for one in read["skipped"]))


def facts_of(series: "DicomSeries") -> SeriesFacts:
    """The facts of a series."""
    from ctseg.reading.dicom_geometry import reach

    return SeriesFacts(
        uid=series_digest(series),
        study=_digest(series.study) if series.study else "",
        number=series.number,
        description=series.description,
        kernel=series.slices[0].kernel,
        thickness=series.slices[0].thickness,
        spacing=series.spacing_mm[0] if series.spacing_mm else None,
        slices=len(series),
        is_computed=flags.COMPUTED in series.flags,
        reach=reach(series.slices),
    )


def series_digest(series: "DicomSeries") -> str:
    """A digest of the UIDs of a series and its study, the same in every folder; empty if it has no UID."""
    return _digest(f"{series.study} {series.uid}") if series.uid else ""


def _digest(told: str) -> str:
    return blake2b(told.encode(), digest_size=16).hexdigest()


def stretches_of(indices: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """The indices of some files of a folder as stretches, each as (first, last + 1)."""
    stretches: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if stretches and stretches[-1][1] == index:
            stretches[-1] = (stretches[-1][0], index + 1)
        else:
            stretches.append((index, index + 1))
    return tuple(stretches)
