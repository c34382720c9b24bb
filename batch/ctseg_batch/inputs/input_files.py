"""Access to the input files of a run; a store overrides it."""

from collections.abc import Callable, Sequence

from ctseg import reading
from ctseg_batch.inputs.site import Site
from ctseg_batch.result import Failure


class InputFiles:
    """Makes the files of a site available in its folder. Fetched by the thread that plans, released by any thread.

    This class is for files on this machine, which need neither.
    """

    def fetch(self, site: Site) -> None:
        """Make the files of a site available until it is released; one that can't be fetched is `explained`."""

    def drain_by(self, drain: Callable[[], None]) -> None:
        """Set the function that waits until all sites in use are released, for when there is no room for another."""

    def release(self, site: Site) -> None:
        """The files of a site are no longer needed."""

    def localised(self, site: Site) -> Site:
        """The same site, found by another process, with the folder that this process has its files in."""
        return site

    def volume_files(self, site: Site) -> Sequence[str]:
        """The files of a volume: its own, and the one beside it that its header may name."""
        (file,) = site.paths(site.files)
        return [one.name for one in reading.volume_files(file)]

    def explained(self, failure: Failure) -> Failure:
        """The failure with the reason why its file could not be fetched, if it could not."""
        return failure
