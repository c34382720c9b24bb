"""What `ctseg batch` makes of the files that pydicom, pydicom-data and nibabel test themselves with.

    python benchmarks/foreign_files.py [--docs docs]

There are several hundred, of every transfer syntax, many broken on purpose. All are run as they are. Most DICOM files
among them are not CT and end there, so they are run once more with their SOP class overwritten by that of CT, each in a
folder of its own. With `--docs`, the tables go to docs/reliability.md. `pip install -e '.[dev]'` brings the files.
"""

import importlib.metadata
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from page import rewrite, table
from pydicom.uid import CTImageStorage
from rich.console import Console
from rich.table import Table
from shared import ctseg

PACKAGES = ("pydicom", "pydicom-data", "nibabel")

# Of images and other objects; their classes have this root (PS3.4, B.5).
_STORAGE_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[0-9.]+")


@dataclass(frozen=True, order=True)
class Outcome:
    """What became of a file, and why: in the words of summary.json."""

    what: Literal["done", "ignored", "refused", "skipped"]
    reason: str = ""


def main(
    model: Annotated[str, typer.Option(help="A shipped model's name or a file.")] = "fast",
    docs: Annotated[Path | None, typer.Option(help="Write reliability.md in this folder.")] = None,
) -> None:
    """Print how many files came to what, and write down which."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        collect(work / "in")
        summary = segment(work / "in", work / "out", model)
        found = outcomes(work / "in", work / "out", summary)
        disguise(work / "in", [name for name, outcome in found.items() if outcome.what == "skipped"], work / "ct")
        as_ct = outcomes(work / "ct", work / "ct out", segment(work / "ct", work / "ct out", model))
    for title, told in (("as they are", found), ("as CT", as_ct)):
        shown = Table("outcome", "why", "files", title=f"{len(told)} files {title}")
        for outcome, count in counted(told):
            shown.add_row(outcome.what, outcome.reason, str(count))
        Console().print(shown)
    if docs:
        text = [package_text(package, told) for package, told in by_package(found).items()]
        rewrite(docs / "reliability.md", "foreign files", "\n\n".join([*text, scans_text(summary)]))
        rewrite(docs / "reliability.md", "foreign files as CT", outcomes_text(as_ct))


def collect(folder: Path) -> None:
    """Copy each package's files to a folder of its name, in folders as they are in the package."""
    for package in PACKAGES:
        for file in importlib.metadata.files(package) or ():
            if "data" in file.parts[:-1] and file.suffix not in (".py", ".pyc"):
                place = folder.joinpath(package, *file.parts[1:])
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.read_binary())


def disguise(folder: Path, skipped: Iterable[str], into: Path) -> None:
    """Write each of these files that is of another class of images as one of CT, to a folder of its own name."""
    for name in skipped:
        content = (folder / name).read_bytes()
        as_ct = _STORAGE_CLASS.sub(lambda found: CTImageStorage.encode().ljust(len(found[0]), b"\0"), content)
        if as_ct != content:
            place = into / name / Path(name).name
            place.parent.mkdir(parents=True)
            place.write_bytes(as_ct)


def segment(folder: Path, out: Path, model: str) -> dict[str, Any]:
    """Run the command; its summary."""
    call = [ctseg(), "batch", str(folder), "--out", str(out), "--model", model, "--json", "--quiet"]
    ran = subprocess.run(call, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1) or "Traceback" in ran.stderr:
        raise RuntimeError(f"exit status {ran.returncode}: {ran.stderr}")
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def outcomes(folder: Path, out: Path, summary: Mapping[str, Any]) -> dict[str, Outcome]:
    """What a run over `folder` into `out` came to, by file."""
    refused = [*summary["errors"], *(error for scan in summary["scans"] for error in scan["errors"])]
    told = {one["file"]: Outcome("skipped", one["reason"]) for one in summary["skipped"]}
    told |= {one["file"]: Outcome("refused", one["reason"]) for one in refused}
    masks = out / "masks"
    done = Outcome("done")
    return {
        name: told.get(name) or (done if (masks / f"{name}.png").exists() or (masks / name).exists() else _IGNORED)
        for name in sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    }


_IGNORED = Outcome("ignored", "not of a kind that ctseg reads")


def counted(found: Mapping[str, Outcome]) -> list[tuple[Outcome, int]]:
    """How many files came to each outcome: done first, then the most frequent of each."""
    counts = Counter(found.values())
    return sorted(counts.items(), key=lambda item: (item[0].what, -item[1], item[0].reason))


def by_package(found: Mapping[str, Outcome]) -> dict[str, dict[str, Outcome]]:
    """The outcomes of each package's files, by their paths in it."""
    parts: dict[str, dict[str, Outcome]] = {package: {} for package in PACKAGES}
    for name, outcome in found.items():
        package, _, within = name.partition("/")
        parts[package][within] = outcome
    return parts


def package_text(package: str, found: Mapping[str, Outcome]) -> str:
    """A package's heading and tables."""
    version = importlib.metadata.version(package)
    return f"#### {package} {version}: {len(found)} files\n\n{outcomes_text(found)}"


def outcomes_text(found: Mapping[str, Outcome]) -> str:
    """The counts, and folded away below them every file by folder."""
    rows = [(outcome.what, outcome.reason, count) for outcome, count in counted(found)]
    listed: dict[tuple[str, Outcome], list[str]] = {}
    for name, outcome in found.items():
        folder, _, file = name.rpartition("/")
        # A disguised file lies in a folder of its own name, which tells no more.
        folder = folder.removesuffix(file).rstrip("/")
        listed.setdefault((folder, outcome), []).append(f"`{file}`")
    files = [(f"`{at}`", what.what, what.reason, ", ".join(told)) for (at, what), told in sorted(listed.items())]
    return "\n".join(
        [
            table(("outcome", "why", "files"), rows),
            "\n<details><summary>Every file</summary>\n",
            table(("folder", "outcome", "why", "files"), files),
            "\n</details>",
        ]
    )


def scans_text(summary: Mapping[str, Any]) -> str:
    """The scans that something came of, and what is said to be doubtful of them."""
    done = [scan for scan in summary["scans"] if scan["status"] != "failed"]
    rows: Sequence[Sequence[str]] = [
        (f"`{scan['scan']}`", str(scan["slices"] - scan["failed_slices"]), ", ".join(scan["flags"])) for scan in done
    ]
    return f"#### The scans among them\n\n{table(('scan', 'slices', 'flags'), rows)}"


if __name__ == "__main__":
    typer.run(main)
