"""How many CPUs this process may use, which may be fewer than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus(membership: Path = _MEMBERSHIP, cgroups: Path = _CGROUPS) -> int:
    """The number of CPUs by affinity, limited by the quota of the container or service, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [share for share in _shares(membership, cgroups) if share > 0]
    return max(1, min([allowed, *(-int(-share // 1) for share in shares)]))


def _shares(membership: Path, cgroups: Path) -> Iterator[float]:
    """The quota, in CPUs, of each control group that this process is in, and of those above it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            for group in _upwards(cgroups, path):
                yield _quota_v2(group / "cpu.max")
        elif "cpu" in controllers.split(","):
            for group in _upwards(cgroups / "cpu", path):
                yield _quota_v1(group)


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it. In a container the path may be the host's, so that only the top exists."""
    group = top / path.lstrip("/")
    while group != top:
        yield group
        group = group.parent
    yield top


def _quota_v2(file: Path) -> float:
    """`max 100000` or `150000 100000`: microseconds of CPU in each period; 0 where there is no limit."""
    try:
        quota, period = file.read_text().split()
        return 0.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return 0.0


def _quota_v1(group: Path) -> float:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return max(0, quota) / int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return 0.0
