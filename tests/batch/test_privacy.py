"""What a file says of the patient stays in the file: nothing of it is written, printed, traced or learnt."""

import csv
import gzip
import json
import shutil

import cv2
import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest

from ctseg.cli import main
from ctseg.phantom import Phantom, write_dicom

SECRETS = {
    "PatientName": "Zyxwv^Quilla",
    "PatientID": "PID-8401-XQ",
    "PatientBirthDate": "19470229",
    "ReferringPhysicianName": "Okonkwo-Ibsen^Dr",
    "InstitutionName": "St Ethelburga Infirmary",
    "AccessionNumber": "ACC5550123",
    "StudyDate": "20190317",
    "StudyDescription": "Thorax of Quilla",
    "SeriesDescription": "lung Quilla",
    "PatientComments": "neighbour of Mrs Xanthippe",
    "StudyID": "STUDY-77-QZ",
    "StudyInstanceUID": "1.2.826.0.1.987654321.11",
    "SeriesInstanceUID": "1.2.826.0.1.987654321.22",
    "FrameOfReferenceUID": "1.2.826.0.1.987654321.33",
    "DeviceSerialNumber": "SN-31337-ZZ",
    "OperatorsName": "Featherstonehaugh",
}
# Whole values and the parts of names that people would know them by.
NEEDLES = {*SECRETS.values(), "Zyxwv", "Quilla", "Okonkwo", "Ethelburga", "Xanthippe", "987654321"}
TEXT = "Zyxwv Quilla PID-8401-XQ 19470229"
GREY = np.array([32, 96, 160, 224], np.uint8)


def leaks(content: bytes) -> list[str]:
    """The secrets in some bytes, in any encoding that a name may be written in."""
    return [
        needle for needle in NEEDLES for code in ("utf-8", "utf-16-le", "utf-16-be") if needle.encode(code) in content
    ]


def check_folder(folder):
    """Nothing below a folder bears or holds a secret; there is something below it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in folder.rglob("*"):
        assert not leaks(bytes(path.relative_to(folder)))
    for file in files:
        content = file.read_bytes()
        assert not leaks(gzip.decompress(content) if file.suffix == ".gz" else content), file


def with_secrets(file):
    dataset = pydicom.dcmread(file)
    for tag, value in SECRETS.items():
        setattr(dataset, tag, value)
    dataset.private_block(0x0099, "QUILLA 1", create=True).add_new(1, "LO", SECRETS["PatientName"])
    dataset.save_as(file)


def png_with_text(labels):
    """A PNG with a tEXt and an iTXt chunk (ISO 15948, 11.3.4)."""
    png = cv2.imencode(".png", GREY[labels])[1].tobytes()
    chunks = b""
    for name, body in ((b"tEXt", b"Title\0" + TEXT.encode()), (b"iTXt", b"Author\0\0\0\0\0" + TEXT.encode())):
        chunks += len(body).to_bytes(4) + name + body + imagecodecs.zlib_crc32(name + body).to_bytes(4)
    return png[:33] + chunks + png[33:]


def jpeg_with_text(labels):
    """A JPEG with a comment, and with an artist in its EXIF."""
    jpeg = cv2.imencode(".jpg", GREY[labels])[1].tobytes()
    exif = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\1\x01\x3b\0\2" + (len(TEXT) + 1).to_bytes(4) + b"\0\0\0\x1a\0\0\0\0"
    exif += TEXT.encode() + b"\0"
    segments = b""
    for marker, body in ((b"\xff\xe1", exif), (b"\xff\xfe", TEXT.encode())):
        segments += marker + (len(body) + 2).to_bytes(2) + body
    return jpeg[:2] + segments + jpeg[2:]


def tiff_with_text(labels):
    return imagecodecs.tiff_encode(GREY[labels], description=TEXT, software=TEXT)


def misplace(source, file, tag):
    """The patient's name where a number or a word of the standard belongs, as after a slip of a converter."""
    dataset = pydicom.dcmread(source)
    dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.1"
    element = dataset.data_element(tag) if tag in dataset else pydicom.DataElement(tag, "IS", 1)
    dataset.add(pydicom.DataElement(element.tag, "LO", SECRETS["PatientName"]))
    dataset.save_as(file)
    content = file.read_bytes()
    place = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little") + b"LO"
    assert place in content
    file.write_bytes(content.replace(place, place[:4] + element.VR.encode()) if len(element.VR) == 2 else content)


def test_the_secrets_are_there_to_be_found(scans):
    for file in ("series/001.dcm", "odd/misplaced0.dcm", "ct.nii", "images/a.png", "images/b.jpg", "images/c.tif"):
        assert leaks((scans / file).read_bytes())


@pytest.fixture
def scans(draw, save_series, save_volume, tmp_path):
    """A series, volumes and images that tell of a patient, and of each kind some that are damaged."""
    folder = tmp_path / "in"
    labels = np.stack([draw(seed, 64, 64) for seed in range(4)])
    files = save_series(folder / "series", labels)
    for file in files:
        with_secrets(file)
    (folder / "odd").mkdir()
    for number, tag in enumerate(("NumberOfFrames", "Rows", "RescaleSlope", "ImagePositionPatient", "ImageType")):
        misplace(files[1], folder / f"odd/misplaced{number}.dcm", tag)
    (folder / "odd/half.dcm").write_bytes(files[1].read_bytes()[:900])
    scout = pydicom.dcmread(files[0])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.save_as(folder / "odd/scout.dcm")
    files[2].write_bytes(files[2].read_bytes()[:-100])

    image = nibabel.load(save_volume(tmp_path / "plain.nii", labels))
    image.header["descrip"], image.header["db_name"], image.header["aux_file"] = TEXT, "PID-8401-XQ", "Quilla"
    image.header["intent_name"] = "Quilla"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", TEXT.encode()))
    for name in ("ct.nii", "ct2.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), folder / name)
    (folder / "half.nii").write_bytes((folder / "ct.nii").read_bytes()[:-100])

    (folder / "images").mkdir()
    for name, content in {
        "a.png": png_with_text(labels[0]),
        "b.jpg": jpeg_with_text(labels[1]),
        "c.tif": tiff_with_text(labels[2]),
        "d.png": png_with_text(labels[0])[:-50],
        "e.jpg": jpeg_with_text(labels[1])[:-50],
        "f.tif": tiff_with_text(labels[2])[:-300],
        "g.png": TEXT.encode(),
    }.items():
        (folder / "images" / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        ["--json"],
        ["--quiet"],
        ["--dry-run"],
        ["--dry-run", "--json"],
        ["--verbose", "--best-series"],
        ["--series-filter", "description~other", "--json"],
    ],
)
def test_a_run_writes_and_prints_nothing_of_the_patient(command, scans, tmp_path, options):
    out, truth = tmp_path / "out", shutil.copytree(scans, tmp_path / "truth")
    for _ in range(2):  # the second finds what the first noted
        left = command(scans, "--out", out, "--truth", truth, *options)
        assert left.status == 1
        assert not leaks(left.out.encode() + left.err.encode())
    if "--dry-run" not in options:
        check_folder(out)
        assert (out / ".ctseg/journal.jsonl").read_bytes().count(b"\n") > 5


def test_no_kind_of_output_holds_anything_of_the_patient_but_a_dicom_segmentation(command, scans, tmp_path):
    left = command(scans, "--out", tmp_path / "out", "--model", "fast", "--write", "mask,overlay,confidence,nifti")
    assert left.status == 1
    check_folder(tmp_path / "out")
    kinds = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert kinds == {"masks", "overlays", "confidence", "nifti", ".ctseg"}
    assert {file.name for file in (tmp_path / "out/nifti").rglob("*.nii.gz")} >= {"ct.nii.nii.gz", "ct2.nii.gz"}


def test_a_profile_tells_nothing_of_the_patient(command, scans, tmp_path):
    for options in (["--json", "--trace", tmp_path / "traces/trace.json"], ["--operators"]):
        (tmp_path / "traces").mkdir(exist_ok=True)
        left = command(scans, *options, name="profile")
        assert left.status == 0
        assert not leaks(left.out.encode() + left.err.encode())
    check_folder(tmp_path / "traces")


def test_what_was_learnt_from_dicom_tells_nothing_of_the_patients(tmp_path, capsys):
    data = tmp_path / "data"
    for seed in range(3):
        write_dicom(Phantom(seed=seed, slices=3, size=64), data / f"group{seed}")
        with (data / f"group{seed}.csv").open("w", newline="") as table:
            rows = csv.writer(table)
            rows.writerow(["file", "label"])
            rows.writerows([file.name, 0] for file in sorted((data / f"group{seed}").iterdir()))
        for file in (data / f"group{seed}").iterdir():
            with_secrets(file)
    described = {
        "name": "healthy",
        "series": {f"group{seed}": f"group{seed}.csv" for seed in range(3)},
        "slice_labels": {"column": "label", "0": ["background", "normal_lung"]},
    }
    (data / "dataset.json").write_text(json.dumps(described))
    run = tmp_path / "run"
    for call in (
        ["train", data, "--out", run, "--canvas", 32, "--epochs", 1, "--batch-size", 4, "--threads", 1],
        ["evaluate", run / "best.pt", data],
    ):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in call])
        said = capsys.readouterr()
        assert not left.value.code, said.err
        assert not leaks(said.out.encode() + said.err.encode())
    check_folder(run)
