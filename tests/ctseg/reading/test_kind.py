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
    None: (
        "a.txt", "a.csv", "a.json", "a.gz", "a.onnx", "DICOMDIR", "dicomdir", "a.png.bak", "a.raw", "a.zraw", "._a.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ENDINGS.items() for name in names])
def test_the_ending_decides_in_any_case(tmp_path, kind, name):
    (tmp_path / name).write_bytes(b"anything")
    assert kind_of(tmp_path / name) == kind


def picture(ending):
    return cv2.imencode(ending, np.zeros((4, 4), np.uint8))[1].tobytes()


def volume():
    return nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).to_bytes()


NO_DICOM = (
    b"\x08\0",
    b"\x08\0 and text that goes on for a while",
    np.arange(8, 200, dtype="<u4").tobytes(),
    np.full(99, 8, "<u2").tobytes(),
    np.full(99, 8, "<u4").tobytes(),
    b"\2\0\0\0UL\4\0\xbe\0\0\0" + b"\3\0\1\0OB",
)

SNIFFED = {
    "dicom": (
        b"\0" * 128 + b"DICM" + b"\2\0\0\0",
        b"\2\0\0\0UL\4\0\xbe\0\0\0" + b"\2\0\1\0OB\0\0\2\0\0\0\0\1",
        b"\2\0\1\0OB\0\0\2\0\0\0\0\1" + b"\2\0\2\0UI\x1a\0" + b"1.2.840.10008.5.1.4.1.1.2\0",
        b"\x08\0\5\0CS\x0a\0ISO_IR 100" + b"\x08\0\x08\0CS\x10\0ORIGINAL\\PRIMARY",
        b"\x08\0\5\0\x0a\0\0\0ISO_IR 100" + b"\x08\0\x08\0\x10\0\0\0ORIGINAL\\PRIMARY",
        b"\x08\0\0\0\4\0\0\0\xbe\0\0\0" + b"\x08\0\x08\0\x10\0\0\0ORIGINAL\\PRIMARY",
    ),
    "volume": (
        volume(),
        gzip.compress(volume(), mtime=0),
        b"NRRD0004\ntype: short\n",
        b"ObjectType = Image\nNDims = 3\n",
    ),
    "image": (picture(".png"), picture(".jpg"), picture(".tif"), picture(".bmp"), b"\x93NUMPY\1\0"),
    None: (b"", b"hello", gzip.compress(b"hello", mtime=0), *NO_DICOM),
}


@pytest.mark.parametrize(("kind", "content"), [(kind, content) for kind, all_ in SNIFFED.items() for content in all_])
@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.55.3"])
def test_without_an_ending_the_first_bytes_decide(tmp_path, kind, content, name):
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == kind


@pytest.mark.parametrize(("kind", "content"), [(kind, content) for kind, all_ in SNIFFED.items() for content in all_])
@pytest.mark.parametrize("name", ["Doe.J_CT_0001", "1.2.840.5_anon", "IM.00a1"])
def test_an_ending_that_is_no_formats_may_be_part_of_a_dicom_files_name(tmp_path, kind, content, name):
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == (kind if kind == "dicom" else None)


@pytest.mark.parametrize("name", ["a.zip", "a.dcm~", ".a.dcm.Xy12Z3", "a.h5"])
def test_what_programs_leave_beside_dicom_files_is_none(tmp_path, name):
    (tmp_path / name).write_bytes(SNIFFED["dicom"][0])
    assert kind_of(tmp_path / name) is None


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
