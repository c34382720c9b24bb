"""Inputs whose outputs would overwrite each other in an OUT that ignores case."""

from collections.abc import Iterable, Iterator, Mapping

from ctseg_batch.inputs.site import Site, mask_names_by_file


def overwriting(sites: Iterable[Site], *, of_slices: bool, of_scans: bool) -> Mapping[str, str]:
    """The files, by their paths below the root, whose outputs would overwrite those of an earlier file, and the reason.

    `of_slices`, `of_scans`: whether outputs of single slices, and of whole scans, are written.
    """
    found: dict[str, str] = {}
    slices: dict[str, tuple[str, str]] = {}
    scans: dict[str, tuple[str, str]] = {}
    for site in sites:
        files = site.below(site.files)
        whole = _first(scans, _whole(site), files[0]) if of_scans else None
        for file, name in zip(files, _names(site), strict=True):
            if other := whole or (_first(slices, name, file) if of_slices else None):
                reason = f"would overwrite the output of {other}: OUT ignores case in names"
                found[file] = f"{reason}; rename one of them, or name another OUT"
    return found


def _first(owners: dict[str, tuple[str, str]], name: str, file: str) -> str | None:
    """The file that has this name in another case already; None if there is none, and the name is this file's now."""
    owned, other = owners.setdefault(name.casefold(), (name, file))
    return None if owned == name else other


def _names(site: Site) -> Iterator[str]:
    """The name of each file's mask; of a volume, the first mask stands for all."""
    yield from mask_names_by_file(site.name, 1) if site.kind == "volume" else site.mask_names(site.files)


def _whole(site: Site) -> str:
    return site.scan_output_by_file(site.name) if site.kind == "volume" else site.scan_output(site.scan_name)
