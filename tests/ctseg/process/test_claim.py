import errno
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ctseg.errors import CallError
from ctseg.process.claim import claim, is_held


def test_a_folder_is_held_by_one_run_alone(tmp_path):
    with claim(tmp_path, "lock"):
        assert is_held(tmp_path / "lock")
        with pytest.raises(CallError, match="another run is writing to"), claim(tmp_path, "lock"):
            pass
    with claim(tmp_path, "lock"):
        pass


def test_where_a_file_system_knows_no_locks_nobody_is_warned(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unknown)
    with claim(tmp_path, "lock"), pytest.raises(CallError, match="another run is writing to"), claim(tmp_path, "lock"):
        pass
    assert not is_held(tmp_path / "lock")


@pytest.mark.parametrize("lock", ["lock", "lock.1-of-2"])
def test_where_a_file_system_knows_no_locks_it_is_told_how_to_be_rid_of_a_dead_run_elsewhere(
    tmp_path, monkeypatch, lock
):
    def unknown(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unknown)
    (tmp_path / lock).write_text("4711\nnode7\n")
    said = f"If process 4711 on node7 is gone, delete {tmp_path / lock}: its file system does not support locks"
    with pytest.raises(CallError, match=re.escape(said)), claim(tmp_path, "lock", lambda name: name == lock):
        pass
    (tmp_path / lock).unlink()
    with claim(tmp_path, "lock"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_for_now_is_named_with_what_to_do(tmp_path, monkeypatch, number):
    def unknown(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", unknown)
    said = f"{tmp_path / 'lock'} can't be locked: {os.strerror(number)}. Mount its file system with locks"
    with pytest.raises(CallError, match=re.escape(said)), claim(tmp_path, "lock"):
        pass


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


def test_what_can_t_be_written_is_named_with_what_is_at_fault(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    said = f"{tmp_path / 'out'} can't be written: it is a link to {tmp_path / 'disk'}, which does not exist"
    with pytest.raises(CallError, match=re.escape(said)), claim(tmp_path / "out", ".ctseg/lock"):
        pass
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/new"):
        said = f"^{re.escape(str(tmp_path / 'file'))} can't be written: "
        with pytest.raises(CallError, match=said), claim(folder, ".ctseg/lock"):
            pass
    (tmp_path / "run/.ctseg/lock").mkdir(parents=True)
    with pytest.raises(CallError, match=r"\.ctseg/lock can't be written: "), claim(tmp_path / "run", ".ctseg/lock"):
        pass


def test_a_claim_may_wait_for_another_to_end(tmp_path):
    began, done = threading.Event(), []

    def other():
        with claim(tmp_path, "lock"):
            began.set()
            time.sleep(0.7)
            done.append("other")

    with ThreadPoolExecutor() as pool:
        ended = pool.submit(other)
        began.wait()
        with claim(tmp_path, "lock", wait_s=60):
            done.append("this")
        ended.result()
    assert done == ["other", "this"]
