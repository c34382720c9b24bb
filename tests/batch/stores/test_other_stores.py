"""Archives, machines by SFTP, `file://`: what comes out is what a folder gets."""

import json
import os
import shutil
import socket
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from fsspec.implementations.zip import ZipFileSystem

from ctseg.cli import main
from ctseg.errors import CallError
from ctseg_batch.remote.store import Store
from ctseg_batch.url import location

paramiko = pytest.importorskip("paramiko")


@pytest.fixture
def zipped(healthy, tmp_path):
    """An archive of the healthy folder, and that folder."""
    with zipfile.ZipFile(tmp_path / "scans.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(healthy[0].rglob("*")):
            archive.write(file, file.relative_to(healthy[0]))
    return tmp_path / "scans.zip", healthy[0]


def test_a_folder_of_an_archive_without_ct_fails_by_its_name(batch, draw, save_slice, tmp_path):
    archive = tmp_path / "scans.zip"
    with zipfile.ZipFile(archive, "w") as files:
        files.write(save_slice(tmp_path / "a.png", draw()), "in/a.png")
        files.writestr("none/notes.txt", "none")
        files.writestr("out/.ctseg/journal.jsonl", "")
    done = batch(*(location(f"zip://{name}::{archive}") for name in ("in", "none", "out")))
    assert (done.status, done.summary["ignored"]) == (1, 1)
    assert done.summary["errors"] == [{"file": "none", "reason": "there is no CT in it"}]
    assert done.summary["notes"] == [f"no CT in zip://out::{archive}, only results or reference masks"]


def test_an_archive_is_read_as_its_folder_wherever_it_lies(zipped, bucket, batch, figures, files, counted, tmp_path):
    archive, folder = zipped
    bucket.put("scans.zip", archive.read_bytes())
    here = batch(folder, out=tmp_path / "here")
    for number, url in enumerate([f"zip::{archive}", f"zip::file://{archive}", f"zip::{bucket.url('scans.zip')}"]):
        out = tmp_path / f"out{number}"
        there = batch(location(url), out=out)
        assert figures(there.summary) == figures(here.summary)
        assert files(out) == files(here.out)
        counted()
        batch(location(url), out=out)
        assert counted() == 0
    out = location(bucket.url("out"))
    some = batch(location(f"zip://series::{archive}"), location(f"zip://images::{archive}"), out=out)
    assert some.scans.keys() == {"series", "images"}


def test_what_an_archive_has_of_no_use_fails_by_name(healthy, command, tmp_path):
    content = (healthy[0] / "images/a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for name in ("good.png", "broken.png", "../../up.png"):
            archive.writestr(f"a/{name}", content)
    damaged = bytearray((tmp_path / "scans.zip").read_bytes())
    damaged[damaged.find(b"broken.png") + 60] ^= 255
    (tmp_path / "scans.zip").write_bytes(damaged)
    left = command(f"zip::{tmp_path / 'scans.zip'}", "--out", tmp_path / "out")
    assert left.status == 1
    assert "failed: a/broken.png: can't be fetched: Bad CRC-32 for file 'a/broken.png'" in left.err
    assert "up.png: has a name that no file below a folder can have: rename it" in left.err
    assert sorted(file.name for file in (tmp_path / "out/masks").rglob("*.png")) == ["good.png"]


def test_what_can_not_be_had_of_an_archive_by_its_name_fails(draw, save_slice, command, tmp_path):
    content, other = (save_slice(tmp_path / "a.png", draw(seed)).read_bytes() for seed in range(2))
    members = [
        ("in/good.png", content), ("in//dd.png", content), ("/abs.png", content), ("/in/abs.png", content),
        ("same.png", content),
        ("same.png", content), ("twice.png", content), ("twice.png", other), ("file/below.png", content),
        ("file", b"no picture"), ("notes.txt", b"one"), ("notes.txt", b"other"), ("in/", b""),
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there
        for name, held in members:
            archive.writestr(name, held)
    left = command(f"zip::{tmp_path / 'scans.zip'}", "--out", tmp_path / "out")
    assert left.status == 1
    assert sorted(line for line in left.err.splitlines() if line.startswith("failed: ")) == [
        "failed: abs.png: has a name that no file below a folder can have: rename it",
        "failed: file/below.png: lies below file, which is a file of the archive too: rename one of them",
        "failed: in/abs.png: has a name that no file below a folder can have: rename it",
        "failed: in/dd.png: has a name that no file below a folder can have: rename it",
        "failed: twice.png: is in the archive more than once, with different contents: pack it again",
    ]
    assert sorted(file.name for file in (tmp_path / "out/masks").rglob("*.png")) == ["good.png", "same.png"]
    left = command(f"zip://in::{tmp_path / 'scans.zip'}", "--out", tmp_path / "part", "--json")
    assert [error["file"] for error in json.loads(left.out)["errors"]] == ["dd.png"]


def test_a_damaged_member_of_an_archive_on_this_machine_is_asked_for_once(
    save_series, speck, batch, monkeypatch, tmp_path
):
    """It will not get better, nor is anybody to be waited for."""
    files = save_series(tmp_path / "in", speck)
    archive = tmp_path / "scans.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, f"ct/{file.name}")
    damaged = bytearray(archive.read_bytes())
    for name in ("000", "001"):
        start = damaged.find(f"ct/{name}.dcm".encode())
        damaged[start + 300 : start + 310] = bytes(10)
    directory = damaged.rfind(b"ct/002.dcm") - 46
    damaged[directory + 24] ^= 1  # its size
    archive.write_bytes(damaged)
    pauses, asked = [], []
    get_file = ZipFileSystem.get_file
    monkeypatch.setattr("ctseg_batch.remote.retry.time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(
        ZipFileSystem, "get_file", lambda self, path, *rest: (asked.append(path), get_file(self, path, *rest))[1]
    )
    done = batch(location(f"zip::{archive}"), best_series=True)
    assert done.status == 1
    assert done.scan["failed_slices"] == 3
    assert pauses == []
    assert {path: asked.count(path) for path in asked if path != "ct/003.dcm"} == {
        f"ct/{name}.dcm": 1 for name in ("000", "001", "002")
    }


def test_what_is_not_there_fails_once_however_often_it_is_listed(save_slice, draw, command, tmp_path):
    archive = tmp_path / "scans.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(save_slice(tmp_path / "1.png", draw()), "a/1.png")
    gone = f"zip://gone.png::{archive}"
    (tmp_path / "list").write_text(f"zip://a::{archive}\n{gone}\n{gone}\n")
    left = command("--from", tmp_path / "list", "--out", tmp_path / "out", "--json")
    assert json.loads(left.out)["errors"] == [{"file": "gone.png", "reason": "does not exist or is empty"}]


def test_a_file_url_is_a_path(healthy, batch, figures, tmp_path):
    there = batch(location(f"file://{healthy[0]}"), out=location(f"file://{tmp_path / 'there'}"))
    assert figures(there.summary) == figures(batch(healthy[0], out=tmp_path / "here").summary)
    assert (tmp_path / "there/masks/images/a.png").is_file()


def test_reference_masks_and_runs_to_report_may_be_given_by_a_file_url(command, draw, save_slice, save, tmp_path):
    save_slice(tmp_path / "in/1.png", draw())
    save(tmp_path / "truth/1.png", draw())
    truth, out = (f"file://{tmp_path / name}" for name in ("truth", "out"))
    left = command(tmp_path / "in", "--out", out, "--truth", truth, "--json")
    assert json.loads(left.out)["totals"]["dice"]["mean"] == 1
    with pytest.raises(SystemExit) as done:
        main(["report", out])
    assert not done.value.code
    assert (tmp_path / "out/report.html").is_file()
    left = command(tmp_path / "in", "--out", out, "--truth", "")
    assert (left.status, "a path is empty" in left.err) == (2, True)
    left = command(tmp_path / "in", "--out", out, "--truth", "s3://bucket/truth")
    assert (left.status, "--truth s3://bucket/truth: this works only with files" in left.err) == (2, True)


def test_scans_wait_for_the_room_that_others_take_and_fail_where_it_is_not_enough(
    draw, save_slice, command, monkeypatch, tmp_path
):
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for number in range(48):
            content = save_slice(tmp_path / "1.png", draw(number)).read_bytes()
            archive.writestr(f"{number // 8}/{number % 8}.png", content)
        archive.writestr("large/1.png", content + bytes(100_000))
    scan = max(sum(one.file_size for one in archive.infolist()[start : start + 8]) for start in range(0, 48, 8))

    def size(file):
        try:
            return file.stat().st_size
        except FileNotFoundError:  # the run has removed it meanwhile
            return 0

    def free(folder):
        held = [Path(place, name) for place, _, names in os.walk(folder) for name in names if name.endswith(".png")]
        return SimpleNamespace(free=1.5 * scan - sum(map(size, held)))

    monkeypatch.setattr("ctseg_batch.remote.input_files.shutil", SimpleNamespace(disk_usage=free))
    left = command(f"zip::{tmp_path / 'scans.zip'}", "--out", tmp_path / "out", "--json")
    assert left.status == 1
    scans = {scan["scan"]: scan["errors"] for scan in json.loads(left.out)["scans"]}
    assert [name for name, errors in scans.items() if errors] == ["large"]
    assert "there is no room for it in " in scans["large"][0]["reason"]


class Known(paramiko.ServerInterface):
    """Lets in who has the key."""

    def __init__(self, key):
        self.key = key

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL if key == self.key else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Folder(paramiko.SFTPServerInterface):
    """The files of this machine, as whoever runs the test may see them."""

    def _do(self, work, *arguments):
        try:
            done = work(*arguments)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK if done is None else done  # an empty folder has a list, too

    def list_folder(self, path):
        return self._do(
            lambda: [
                paramiko.SFTPAttributes.from_stat(one.stat(follow_symlinks=False), one.name) for one in os.scandir(path)
            ]
        )

    def stat(self, path):
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(Path(path).stat()))

    def lstat(self, path):
        return self._do(lambda: paramiko.SFTPAttributes.from_stat(os.lstat(path)))

    def open(self, path, flags, attributes):
        def opened():
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = handle.writefile = os.fdopen(os.open(path, flags, 0o644), "r+b" if flags & 3 else "rb")
            return handle

        return self._do(opened)

    def remove(self, path):
        return self._do(os.remove, path)

    def posix_rename(self, old, new):
        return self._do(os.replace, old, new)

    def mkdir(self, path, attributes):
        return self._do(os.mkdir, path)


class Machine:
    """A server of SFTP on loopback; `connections` may be cut."""

    def __init__(self, host_key, key):
        self.host_key, self.key, self.connections = host_key, key, []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def url(self, path):
        return location(f"sftp://somebody@127.0.0.1:{self.port}{path}")

    def cut(self):
        for one in self.connections:
            one.close()

    def stop(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listening.close()
        self.cut()
        for one in self.connections:
            one.join()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
            transport.start_server(threading.Event(), Known(self.key))
            self.connections.append(transport)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that this user knows, and may be on by a key."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr("ctseg_batch.remote.retry._LONGEST_PAUSE_S", 0.02)
    ssh = tmp_path / "home/.ssh"
    ssh.mkdir(parents=True)
    host_key, key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(ssh / "id_ecdsa"))
    started = Machine(host_key, key)
    (ssh / "known_hosts").write_text(f"[127.0.0.1]:{started.port} {host_key.get_name()} {host_key.get_base64()}\n")
    yield started
    started.stop()


def test_a_machine_by_sftp_is_read_and_written_as_a_folder(machine, healthy, batch, figures, files, counted, tmp_path):
    shutil.copytree(healthy[0], tmp_path / "scans")
    shutil.copy(tmp_path / "scans/images/a.png", tmp_path / "kept.png")
    (tmp_path / "scans/images/linked.png").symlink_to(tmp_path / "kept.png")
    here = batch(tmp_path / "scans", out=tmp_path / "here")
    (tmp_path / "scans/round").symlink_to(tmp_path / "scans")  # is not followed
    inputs, out = machine.url(tmp_path / "scans"), machine.url(tmp_path / "there")
    there = batch(inputs, out=out)
    assert figures(there.summary) == figures(here.summary)
    assert files(tmp_path / "there") == files(here.out)
    assert not [file for file in (tmp_path / "there").rglob("*") if file.name.endswith(".tmp") or "lock" in file.name]
    counted()
    (tmp_path / "scans/images/z.png").write_bytes((tmp_path / "scans/images/a.png").read_bytes())
    batch(inputs, out=out)
    assert counted() == 3
    assert (tmp_path / "there/masks/images/z.png").read_bytes() == (tmp_path / "there/masks/images/a.png").read_bytes()


def test_a_connection_that_is_lost_is_made_anew(machine, healthy, batch, figures, monkeypatch, tmp_path):
    here = batch(healthy[0], out=tmp_path / "here")
    fetch, times = Store.fetch, []

    def cut(self, *wanted):
        times.append(machine.cut())
        return fetch(self, *wanted)

    monkeypatch.setattr(Store, "fetch", cut)
    assert figures(batch(machine.url(healthy[0]), out=tmp_path / "there").summary) == figures(here.summary)
    assert len(times) == 3


def test_shares_that_store_one_file_at_once_do_not_disturb_each_other(machine, monkeypatch, tmp_path):
    both, rename = threading.Barrier(2), Folder.posix_rename

    def together(self, old, new):
        both.wait(60)
        return rename(self, old, new)

    monkeypatch.setattr(Folder, "posix_rename", together)
    stores = [Store(machine.url(tmp_path)) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda store: store.put({"out/found.json.gz": b"the same"}), stores))
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == {"found.json.gz": b"the same"}


def test_a_file_that_was_renamed_is_stored_though_the_answer_got_lost(machine, monkeypatch, tmp_path):
    rename = Folder.posix_rename

    def cut_off(self, old, new):
        done = rename(self, old, new)
        monkeypatch.setattr(Folder, "posix_rename", rename)
        machine.cut()
        return done

    monkeypatch.setattr(Folder, "posix_rename", cut_off)
    Store(machine.url(tmp_path)).put({"out/1.png": b"a mask"})
    assert (tmp_path / "out/1.png").read_bytes() == b"a mask"


def test_a_file_that_vanishes_before_it_is_renamed_is_an_error_of_the_store(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(Folder, "posix_rename", lambda *_: paramiko.SFTP_NO_SUCH_FILE)
    with pytest.raises(CallError, match=r"out/1\.png can't be written: out/\..*\.tmp was removed meanwhile"):
        Store(machine.url(tmp_path)).put({"out/1.png": b"a mask"})


def test_a_machine_that_is_not_known_gets_no_key(machine, healthy, command, tmp_path):
    known = tmp_path / "home/.ssh/known_hosts"
    other = paramiko.ECDSAKey.generate()
    for content, said in (
        ("", "not found in known_hosts"),
        (known.read_text().replace(machine.host_key.get_base64(), other.get_base64()), "does not match"),
    ):
        known.write_text(content)
        left = command(machine.url(healthy[0]), "--out", tmp_path / "out")
        assert (left.status, left.err.count("\n")) == (2, 1)
        assert said in left.err


def test_what_ssh_is_told_of_a_machine_holds_here_too(machine, healthy, command, tmp_path):
    ssh = tmp_path / "home/.ssh"
    (ssh / "id_ecdsa").rename(ssh / "work_key")
    left = command(machine.url(healthy[0]), "--out", tmp_path / "out")
    assert left.status == 2
    assert "can't be used: " in left.err
    (ssh / "config").write_text(
        f"Host pacs\n HostName 127.0.0.1\n Port {machine.port}\n User somebody\n IdentityFile {ssh}/work_key\n"
    )
    assert command(f"sftp://pacs{healthy[0]}", "--out", tmp_path / "out", "-q").status == 0
    assert command(f"sftp://pacs{healthy[0]}/nothing", "--out", tmp_path / "out").status == 2
