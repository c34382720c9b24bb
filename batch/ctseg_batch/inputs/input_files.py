"""Where a run gets the files of its inputs from."""

from collections.abc import Callable, Sequence

from ctseg import reading
from ctseg_batch.inputs.site import Site
from ctseg_batch.result import Failure


class InputFiles:
    """Sees to it that the files of a site are in its folder. Used by the thread that plans, released by any.

    These are on this machine, where they stay.
    """

    def fetch(self, site: Site) -> None:
        """Have the files of a site there, until it is released; what can't be had is missing, and `explained`."""

    def drain_by(self, drain: Callable[[], None]) -> None:
        """Where there is no room for a site, `drain` waits until those at work are released."""

    def release(self, site: Site) -> None:
        """The files of a site are needed no more."""

    def localised(self, site: Site) -> Site:
        """A site that another process has found, as this one has it."""
        return site

    def volume_files(self, site: Site) -> Sequence[str]:
        """What a volume is made of: its file, and the one beside it that its header names."""
        (file,) = site.paths(site.files)
        return [one.name for one in reading.volume_files(file)]

    def explained(self, failure: Failure) -> Failure:
        """A failure, with the reason for which its file is missing, if it is."""
        return failure
