"""The reference masks of one scan: in a file per slice, a folder, or a volume."""

import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from stat import S_ISREG

from ctseg import reading
from ctseg.classes import Labels
from ctseg.datasets.mask_meaning import MaskMeaning
from ctseg.errors import DatasetError, UnreadableFile
from ctseg.scan import Scan
from ctseg_batch.inputs.site import volume_slice


class TruthMasks(ABC):
    """The truth of a scan's slices."""

    def __init__(self, meaning: MaskMeaning) -> None:
        self._meaning = meaning

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """All files that the masks may be read from."""

    @abstractmethod
    def find(self, index: int, /) -> Path | None:
        """The file that holds the truth of a slice, if there is any."""

    def grouped(self, index: int, scan: Scan, shape: tuple[int, ...] | None = None) -> Labels | None:
        """The truth (H, W) of a slice of `scan` as groups of classes; None where it has none.

        Without its `shape`, the slice is read. Raises UnreadableFile for a truth that can't be used.
        """
        file = self.find(index)
        if file is None:
            return None
        mask = self._read(index, file, scan)
        shape = shape or scan.read(index).pixels.shape
        if mask.shape != shape:
            size, own = ("x".join(map(str, one[::-1])) for one in (mask.shape, shape))
            raise UnreadableFile(file, f"is {size}, but its slice {own}: they must agree")
        try:
            return self._meaning.grouped(mask, file)
        except DatasetError as error:
            raise UnreadableFile(file, str(error).removeprefix(f"{file} ")) from error

    def _read(self, _index: int, file: Path, _scan: Scan, /) -> Labels:
        """The values (H, W) of a slice's mask; raises UnreadableFile."""
        return reading.read_mask(file)


class SliceMasks(TruthMasks):
    """A file for each slice, or none."""

    def __init__(self, by_slice: tuple[Path | None, ...], meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._by_slice = by_slice

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(file for file in self._by_slice if file is not None)

    def find(self, index: int) -> Path | None:
        """The slice's file."""
        return self._by_slice[index]


class FolderMasks(TruthMasks):
    """A volume's truth as this program writes masks: a folder with `0000.png`, counted from the feet."""

    def __init__(self, folder: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._folder = folder

    @property
    def files(self) -> tuple[Path, ...]:
        """All of the folder; the folder itself where it may not be listed."""
        try:
            return tuple(sorted(self._folder.iterdir()))
        except OSError:
            return (self._folder,)

    def find(self, index: int) -> Path | None:
        """The slice's file, also if it can't be examined: reading it will tell why."""
        file = self._folder / volume_slice(index)
        try:
            return file if S_ISREG(file.stat().st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return file if file.is_symlink() else None
        except OSError:
            return file

    def _read(self, index: int, file: Path, scan: Scan, /) -> Labels:
        """The same; raises UnreadableFile also where there are masks of more slices: all may be shifted."""
        surplus = self._folder / volume_slice(len(scan))
        if os.path.isfile(surplus):  # noqa: PTH113 - Path.is_file raises where the folder may not be entered
            raise UnreadableFile(surplus, f"is one mask too many: its scan has {len(scan)} slices")
        return super()._read(index, file, scan)


class VolumeMask(TruthMasks):
    """A volume's truth as a volume; read when the first slice is asked for, and held with the scan."""

    def __init__(self, file: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._file = file
        self._lock = threading.Lock()
        self._volume: Labels | UnreadableFile | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file, or its header and its voxels."""
        return reading.volume_files(self._file)

    def find(self, _index: int, /) -> Path | None:
        """The volume, of any slice."""
        return self._file

    def _read(self, index: int, _file: Path, scan: Scan, /) -> Labels:
        """The same; also raises UnreadableFile if the volume does not lie where its scan does."""
        with self._lock:
            if self._volume is None:
                self._volume = self._tried(scan)
            volume = self._volume
        if isinstance(volume, UnreadableFile):
            raise UnreadableFile(volume.file, volume.reason)
        mask: Labels = volume[index]
        return mask

    def _tried(self, scan: Scan) -> Labels | UnreadableFile:
        """Read the voxels, or keep why they can't be read: once, not for every slice."""
        try:
            return reading.read_mask_volume(self._file, scan)
        except UnreadableFile as error:
            return error


class UnlistedMasks(TruthMasks):
    """The truth in a folder that can't be listed: nobody knows which masks are there."""

    def __init__(self, error: OSError, folder: Path, meaning: MaskMeaning) -> None:
        super().__init__(meaning)
        self._folder, self._why = folder, error.strerror

    @property
    def files(self) -> tuple[Path, ...]:
        """The folder."""
        return (self._folder,)

    def find(self, _index: int, /) -> Path | None:
        """The folder, for any slice."""
        return self._folder

    def _read(self, _index: int, file: Path, _scan: Scan, /) -> Labels:
        raise UnreadableFile(file, f"can't be listed: {self._why}")
