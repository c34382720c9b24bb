import gzip
import os

import cv2
import nibabel
import numpy as np
import pytest

from ctseg.errors import UnreadableFile
from ctseg.reading import kind_of

ENDINGS = {
    "dicom": ("a.dcm", "a.DCM", "a.dicom", "a.ima", "a.IMA"),
    "volume": ("a.nii", "a.nii.gz", "a.NII.GZ", "a.mha", "a.MHD", "a.nrrd", "a.nhdr"),
    "image": ("a.png", "a.PNG", "a.jpg", "a.JPEG", "a.tif", "a.tiff", "a.bmp", "a.npy"),
    None: ("a.txt", "a.csv", "a.json", "a.gz", "a.onnx", "DICOMDIR", "dicomdir", "a.png.bak", "a.raw", "a.zraw"),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ENDINGS.items() for name in names])
def test_the_ending_decides_in_any_case(tmp_path, kind, name):
    (tmp_path / name).write_bytes(b"anything")
    assert kind_of(tmp_path / name) == kind


def picture(ending):
    return cv2.imencode(ending, np.zeros((4, 4), np.uint8))[1].tobytes()


def volume():
    return nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_bytes()


SNIFFED = {
    "dicom": (b"\0" * 128 + b"DICM" + b"\2\0\0\0",),
    "volume": (
        volume(),
        gzip.compress(volume(), mtime=0),
        b"NRRD0004\ntype: short\n",
        b"ObjectType = Image\nNDims = 3\n",
    ),
    "image": (picture(".png"), picture(".jpg"), picture(".tif"), picture(".bmp"), b"\x93NUMPY\1\0"),
    None: (b"", b"hello", gzip.compress(b"hello", mtime=0)),
}


@pytest.mark.parametrize(("kind", "content"), [(kind, content) for kind, all_ in SNIFFED.items() for content in all_])
@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.55.3"])
def test_without_an_ending_the_first_bytes_decide(tmp_path, kind, content, name):
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == kind


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["pipe", "pipe.png"])
def test_a_pipe_is_refused_and_does_not_block(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnreadableFile, match="named pipe"):
        kind_of(tmp_path / name)


def test_a_broken_link_is_refused_and_a_whole_one_followed(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UnreadableFile):
        kind_of(tmp_path / "a.png")
    (tmp_path / "nowhere.png").write_bytes(b"x")
    assert kind_of(tmp_path / "a.png") == "image"
