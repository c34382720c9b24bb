"""DICOM files with known values, written by pydicom and the encoders of imagecodecs; PNGs made by hand."""

import struct
import tracemalloc
import zlib
from itertools import pairwise

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

ENCODERS = {
    uid.JPEGLossless: lambda stored: imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=16, predictor=4),
    uid.JPEGLosslessSV1: lambda stored: imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=16, predictor=1),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEG2000Lossless: lambda stored: imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True),
    uid.HTJ2KLossless: lambda stored: imagecodecs.htj2k_encode(stored, reversible=True),
}


@pytest.fixture
def encoders():
    """By transfer syntax, what encodes a picture of uint16."""
    return ENCODERS


@pytest.fixture
def png():
    """Make a PNG (ISO 15948) by hand, of lines of raw samples; its data in so many `pieces`, with some `beyond`."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def make(rows, columns, depth, colour, lines, *chunks, interlaced=0, pieces=1, beyond=b""):
        header = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, interlaced)
        packed = zlib.compress(b"".join(b"\0" + line for line in lines)) + beyond
        ends = [len(packed) * piece // pieces for piece in range(pieces + 1)]
        data = [(b"IDAT", packed[start:end]) for start, end in pairwise(ends)]
        parts = [(b"IHDR", header), *chunks, *data, (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)

    return make


@pytest.fixture
def peak_memory():
    """The bytes that Python and NumPy held at most since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.fixture
def write_dicom():
    """Write a CT slice of `stored` numbers; tags given as None are left out."""

    def write(file, stored, syntax=uid.ExplicitVRLittleEndian, **tags):
        stored = np.asarray(stored)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", uid.CTImageStorage)
        dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[file.name])
        described = {
            "SOPClassUID": uid.CTImageStorage,
            "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
            "SeriesInstanceUID": "1.2.3",
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "Rows": stored.shape[0],
            "Columns": stored.shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": int(stored.dtype.kind == "i"),
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [0, 0, 0],
            "PixelSpacing": [0.7, 0.8],
            "SliceThickness": 5,
        } | tags
        for name, value in described.items():
            if value is not None:
                setattr(dataset, name, value)
        bits = stored.astype(f"{stored.dtype.kind}2").view(np.uint16)
        if syntax in ENCODERS:
            dataset.PixelData = encapsulate([ENCODERS[syntax](bits)])
        else:
            order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
            dataset.PixelData = bits.astype(f"{order}u2").tobytes()
        dataset["PixelData"].VR = "OW"
        if syntax == uid.RLELossless:
            dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
            dataset.compress(uid.RLELossless, generate_instance_uid=False)
        dataset.save_as(file, enforce_file_format=True)
        return file

    return write
