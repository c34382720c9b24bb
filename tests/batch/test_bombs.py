"""Small files that unpack to gigabytes, or claim to hold them: a run refuses them and stays small."""

import gzip
import json
import struct
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

SIDE = 60_000
MOST_MIB = 700
"""What the command takes for itself is below 200, what the least of the bombs takes is more than 500."""

MEASURED = """
import sys
from pathlib import Path
from ctseg.cli import main
try:
    main(sys.argv[1:])
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zeros(count):
    """So many of them as a deflate stream (RFC 1951): pieces that stand alone, and an empty last block."""
    packer = zlib.compressobj(1, wbits=-15)
    piece = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (count // 2**24) + b"\3\0"


def png_bomb():
    """60,000 x 60,000 black pixels, or the first of them."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    data = b"\x78\1" + zeros(2**30)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def tiff_bomb():
    strip = b"\x78\1" + zeros(2**30)
    tags = [(256, SIDE), (257, SIDE), (258, 8), (259, 8), (262, 1), (273, 200), (278, SIDE), (279, len(strip))]
    directory = struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
    return (b"II*\0" + directory).ljust(200, b"\0") + strip


def npy_bomb():
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({SIDE}, {SIDE}), }}".ljust(118).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


@pytest.fixture
def bombs(save_series, draw, tmp_path):
    folder = tmp_path / "in"
    (slice_,) = save_series(folder, draw(0, 64, 64)[None], stems=["whole"])
    whole = slice_.read_bytes()
    for name, content in {
        "a.png": png_bomb(),
        "b.tif": tiff_bomb(),
        "c.npy": npy_bomb(),
        "d.nii.gz": gzip.compress(bytes(2**24)) * 64,
    }.items():
        (folder / name).write_bytes(content)

    dataset = pydicom.dcmread(slice_)
    dataset.PixelData = encapsulate([imagecodecs.jpeg2k_encode(np.zeros((10_000, 10_000), np.uint16), level=0)])
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    dataset.SOPInstanceUID = "1.2.3"  # else it would be a copy
    dataset.save_as(folder / "e.dcm")

    end = 144 + int.from_bytes(whole[140:144], "little")
    meta = whole[:end].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    meta = meta[:140] + struct.pack("<I", end - 144 + 2) + meta[144:]
    packed = zlib.compressobj(1, wbits=-15)
    body = packed.compress(whole[end:]) + packed.flush(zlib.Z_FULL_FLUSH)
    (folder / "f.dcm").write_bytes(meta + body + zeros(2**30 + 2**24))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="what memory a process took is told otherwise there")
def test_bombs_are_refused_and_the_run_stays_small(bombs, quarters, tmp_path):
    call = ["batch", bombs, "--out", tmp_path / "out", "--model", quarters, "--device", "cpu", "--json"]
    done = subprocess.run([sys.executable, "-c", MEASURED, *map(str, call)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    reasons = {error["file"]: error["reason"] for scan in summary["scans"] for error in scan["errors"]}
    reasons |= {error["file"]: error["reason"] for error in summary["errors"]}
    assert reasons.keys() == {"a.png", "b.tif", "c.npy", "d.nii.gz", "e.dcm", "f.dcm"}
    assert not [reason for reason in reasons.values() if "memory" in reason.lower()]
    assert [file.name for file in (tmp_path / "out/masks").iterdir()] == ["whole.dcm.png"]
    assert int(done.stderr.splitlines()[-1]) / 1024 < MOST_MIB
