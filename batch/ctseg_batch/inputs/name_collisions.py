"""Inputs whose outputs would lie one on the other in an OUT that does not tell names by case."""

from collections.abc import Iterable, Iterator, Mapping

from ctseg_batch.inputs.site import Site, mask_paths_of_volume


def overwriting(sites: Iterable[Site], *, of_slices: bool, of_scans: bool) -> Mapping[str, str]:
    """The files of which something would be written over what is of another one, which came first; and why they fail.

    By their paths below the root. `of_slices`, `of_scans`: what is written.
    """
    found: dict[str, str] = {}
    slices: dict[str, tuple[str, str]] = {}
    scans: dict[str, tuple[str, str]] = {}
    for site in sites:
        files = site.below(site.files)
        whole = _first(scans, _whole(site), files[0]) if of_scans else None
        for file, name in zip(files, _names(site), strict=True):
            if other := whole or (_first(slices, name, file) if of_slices else None):
                reason = f"would overwrite what is written of {other}: OUT does not tell names by case"
                found[file] = f"{reason}; rename one of them, or name another OUT"
    return found


def _first(owners: dict[str, tuple[str, str]], name: str, file: str) -> str | None:
    """Whose a name is already when it is written in another case; None where it becomes this file's."""
    owned, other = owners.setdefault(name.casefold(), (name, file))
    return None if owned == name else other


def _names(site: Site) -> Iterator[str]:
    """Of each file, what is written of a slice; of a volume, its first stands for all."""
    yield from mask_paths_of_volume(site.name, 1) if site.kind == "volume" else site.mask_names(site.files)


def _whole(site: Site) -> str:
    return site.scan_output_by_file(site.name) if site.kind == "volume" else site.scan_output(site.scan)
