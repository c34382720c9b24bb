"""Nothing is fetched and nothing is sent: the commands work where there is no network, and never ask for one."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ctseg.phantom import Phantom, write_dicom, write_nifti

# Ends the process at once, so that no one can catch it and go on without a word.
WATCHED = """
import os, socket, sys

# Where it happens to be installed, pydicom loads it, and it tries whether it could have an IPv6 address.
sys.modules["requests"] = None

ASKING = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "socket.getnameinfo", "urllib.Request", "http.client.connect", "http.client.send",
}

def watch(event, arguments):
    if event in ASKING or event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
        os.write(2, f"the network was asked for: {event} {arguments}".encode())
        os._exit(99)

sys.addaudithook(watch)
"""
COMMAND = """
import sys
from ctseg.cli import main
if sys.argv[1] == "demo":
    from ctseg_batch.commands import demo
    demo._SLICES = 3
main()
"""
CALLS = {
    "batch": ["batch", "{0}/in", "--out", "{1}/out", "--write", "mask,overlay,confidence", "--truth", "{0}/truth"],
    "inspect": ["inspect", "fast"],
    "profile": ["profile", "{0}/in", "--slices", "4", "--trace", "{1}/trace.json"],
    "demo": ["demo", "--out", "{1}/demo"],
}
ISOLATED = ("unshare", "--map-root-user", "--net")


def run(code, arguments=(), within=()):
    return subprocess.run([*within, sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def can_be_isolated():
    return bool(shutil.which("unshare")) and run("", within=ISOLATED).returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of each kind."""
    home = tmp_path_factory.mktemp("offline")
    phantom = Phantom(seed=1, slices=2, size=64)
    write_dicom(phantom, home / "in/series", truth=home / "truth/series")
    write_nifti(phantom, home / "in/ct.nii.gz")
    (home / "in/images").mkdir()
    cv2.imwrite(str(home / "in/images/a.png"), np.full((64, 48), 90, np.uint8))
    return home


@pytest.mark.parametrize("ask", ["create_connection(('127.0.0.1', 9))", "getaddrinfo('localhost', 80)", "socket()"])
def test_the_watch_sees_who_asks_for_the_network(ask):
    asked = run(f"{WATCHED}\ntry: socket.{ask}\nexcept BaseException: pass")
    assert asked.returncode == 99
    assert "the network was asked for" in asked.stderr


@pytest.mark.skipif(not can_be_isolated(), reason="this user can't make an empty network here")
def test_in_an_empty_network_there_is_not_even_a_loopback():
    alone = run("import socket; socket.create_connection(('127.0.0.1', 9))", within=ISOLATED)
    assert "unreachable" in alone.stderr


@pytest.mark.parametrize("name", CALLS)
def test_every_command_works_without_a_network_and_asks_for_none(folder, tmp_path, name):
    """Watched, and where that can be had in an empty network: this holds for libraries past Python too."""
    within = ISOLATED if can_be_isolated() else ()
    done = run(WATCHED + COMMAND, [word.format(folder, tmp_path) for word in CALLS[name]], within)
    assert done.returncode == 0, done.stderr
