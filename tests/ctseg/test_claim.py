import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from ctseg.claim import claim, is_held
from ctseg.errors import CallError


def test_a_folder_is_held_by_one_run_alone(tmp_path):
    with claim(tmp_path, "lock"):
        assert is_held(tmp_path / "lock")
        with pytest.raises(CallError, match="another run writes to"), claim(tmp_path, "lock"):
            pass
    with claim(tmp_path, "lock"):
        pass


def test_where_a_file_system_knows_no_locks_nobody_is_warned(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unknown)
    with claim(tmp_path, "lock"), pytest.raises(CallError, match="another run writes to"), claim(tmp_path, "lock"):
        pass
    assert not is_held(tmp_path / "lock")


def test_runs_that_look_at_the_same_lock_at_once_are_not_taken_for_its_holder(tmp_path):
    """Many shares that begin together, in a folder with locks of runs that have ended."""
    old = [f"old{number}" for number in range(8)]
    for name in old:
        (tmp_path / name).touch()

    def begin(number):
        with claim(tmp_path, f"new{number}", lambda name: name in old):
            return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(begin, range(64)))
