"""`--write dicom-seg`, read by pydicom and highdicom and, where they are installed, checked by dciodvfy and dcmqi."""

import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK

SEG = ("dicom-seg",)
CODES = {
    "39607008": ("Lung", 1),
    "1217294009": ("Ground glass lung opacity", 2),
    "95436008": ("Lung consolidation", 3),
}


@pytest.fixture
def square(draw):
    """Four slices that no turn or flip leaves the same."""
    return np.stack([draw(seed, 64, 64) for seed in range(4)])


@pytest.fixture
def study(save_series, square, tmp_path):
    """The files of a series, from the feet up, with a patient and a study; names of theirs in no order."""

    def saved(labels=square, **tags):
        described = {
            "PatientName": "Doe^Jane", "PatientID": "4711", "PatientSex": "F", "PatientBirthDate": "19700102",
            "PatientAge": "050Y", "StudyDate": "20200304", "StudyTime": "112233.5", "StudyID": "S1",
            "AccessionNumber": "A1",
        }  # fmt: skip
        stems = ["z", "b", "y", "a", "m", "c"][: len(labels)]
        return save_series(tmp_path / "in/ct", labels, stems=stems, **{**described, **tags})

    return saved


def change(files, how):
    for index, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        how(index, dataset)
        dataset.save_as(file)


def made(done):
    (file,) = (done.out / "dicom-seg").rglob("*.dcm")
    return file


def class_of(segment):
    """The class that a segment's coded type stands for."""
    (code,) = segment.SegmentedPropertyTypeCodeSequence
    assert code.CodingSchemeDesignator == "SCT"
    meaning, index = CODES[code.CodeValue]
    assert code.CodeMeaning == meaning
    return index


def labels_by_source(seg):
    """The labels (H, W) by the slice that frames refer to, by pydicom alone."""
    classes = {segment.SegmentNumber: class_of(segment) for segment in seg.SegmentSequence}
    found = {}
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, np.atleast_3d(seg.pixel_array), strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels = found.setdefault(source, np.zeros(pixels.shape, np.uint8))
        assert not labels[pixels > 0].any()
        labels[pixels > 0] = classes[number]
    return found


def test_each_slice_has_its_labels_whoever_reads_them(batch, study, square):
    sources = [pydicom.dcmread(file) for file in study()]
    file = made(batch(study()[0].parent, write=SEG))
    seg = pydicom.dcmread(file)
    found = labels_by_source(seg)
    for source, mask in zip(sources, square, strict=True):
        np.testing.assert_array_equal(found[source.SOPInstanceUID], mask)
    read = highdicom.seg.segread(file)
    numbers = read.get_pixels_by_source_instance(
        [source.SOPInstanceUID for source in sources], combine_segments=True, relabel=False
    )
    np.testing.assert_array_equal(numbers, square)  # all classes are there: their numbers are the segments'


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, np.cos(0.2), -np.sin(0.2))]
)
def test_it_lies_where_simpleitk_sees_the_series(batch, study, square, orientation):
    files = study()
    across, down = np.array(orientation[:3]), np.array(orientation[3:])

    def place(index, dataset):
        dataset.ImageOrientationPatient = [round(float(c), 9) for c in orientation]
        dataset.ImagePositionPatient = [round(float(c), 6) for c in index * 2.5 * np.cross(across, down) - 30]
        dataset.PixelSpacing = [0.7, 0.8]

    change(files, place)
    volume = highdicom.seg.segread(made(batch(files[0].parent, write=SEG))).get_volume(combine_segments=True)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0].parent)))
    scan = reader.Execute()
    hu = SimpleITK.GetArrayFromImage(scan)
    for index in np.ndindex(volume.spatial_shape):
        if index[1] % 9 == 0 and index[2] % 7 == 0:
            point = (volume.affine @ [*index, 1])[:3]
            x, y, z = scan.TransformPhysicalPointToIndex(point.tolist())
            assert volume.array[index] == np.searchsorted([-800, -400, 0], hu[z, y, x])


def test_the_patient_the_study_and_the_frame_of_reference_are_the_sources(batch, study):
    files = study()
    source, seg = pydicom.dcmread(files[0]), pydicom.dcmread(made(batch(files[0].parent, write=SEG)))
    for tag in (
        "PatientName", "PatientID", "PatientSex", "PatientBirthDate", "PatientAge", "StudyInstanceUID", "StudyDate",
        "StudyTime", "StudyID", "AccessionNumber", "StudyDescription", "FrameOfReferenceUID",
    ):  # fmt: skip
        assert seg[tag].value == source[tag].value
    assert (seg.Modality, seg.SeriesNumber) == ("SEG", 1001)
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    referred = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert referred == {pydicom.dcmread(file).SOPInstanceUID for file in files}
    assert (seg.ContentDate, seg.ContentTime) == ("20200304", "112233.5")


def test_it_says_what_its_segments_are_and_what_made_them(batch, study, make_model, tmp_path):
    model = make_model(tmp_path / "mine.onnx", name="mine", version="7")
    done = batch(study()[0].parent, write=SEG, model=str(model))
    seg = pydicom.dcmread(made(done))
    assert seg.SegmentationType == "BINARY"
    lung, glass, solid = seg.SegmentSequence
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Normal lung", "Ground glass", "Consolidation"]
    category = [s.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for s in (lung, glass, solid)]
    assert category == ["Anatomical Structure", *["Morphologically Abnormal Structure"] * 2]
    (modifier,) = lung.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert (modifier.CodeValue, modifier.CodeMeaning) == ("17621005", "Normal")
    assert {s.AnatomicRegionSequence[0].CodeValue for s in (glass, solid)} == {"39607008"}
    for segment, colour in zip(seg.SegmentSequence, [(58, 134, 255), (255, 190, 11), (230, 57, 70)], strict=True):
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("ctseg mine", "7")
        assert done.summary["model"]["sha256"] in algorithm.AlgorithmParameters
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
        shown = highdicom.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
        assert np.abs(np.subtract(shown.to_rgb(), colour)).max() <= 2
    assert (seg.Manufacturer, seg.DeviceSerialNumber) == ("ctseg", done.summary["model"]["sha256"])


def test_the_same_call_gives_the_same_bytes_and_other_labels_another_object(batch, study, square, make_model, tmp_path):
    folder = study()[0].parent

    def read(name, **call):
        file = made(batch(folder, write=SEG, out=tmp_path / name, **call))
        return file.read_bytes(), pydicom.dcmread(file)

    (content, first), (again, _) = read("out1", workers=1), read("out2", workers=3)
    assert content == again
    _, other = read("out3", model=str(make_model(tmp_path / "other.onnx", name="other")))
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID
    changed = square.copy()
    changed[0, :8, :8] = (changed[0, :8, :8] + 1) % 4
    study(changed)
    _, moved = read("out4")
    assert moved.SOPInstanceUID != first.SOPInstanceUID


def test_classes_of_which_there_is_nothing_are_left_out(batch, study, square):
    seg = pydicom.dcmread(made(batch(study(np.where(square == 2, 0, square))[0].parent, write=SEG)))
    assert [(s.SegmentNumber, class_of(s)) for s in seg.SegmentSequence] == [(1, 1), (2, 3)]


def test_where_there_is_no_lung_there_is_no_object(batch, study, square):
    files = study()
    made(batch(files[0].parent, write=SEG))
    done = batch(study(np.zeros_like(square))[0].parent, write=SEG)
    assert "no dicom-seg: no lung was found" in done.scan["flags"]
    assert done.summary["notes"] == ["no dicom-seg of 1 scan: no lung was found"]
    assert not list((done.out / "dicom-seg").rglob("*.dcm"))


def test_a_slice_that_failed_is_not_referred_to(batch, study, square):
    files = study()
    sources = [pydicom.dcmread(file) for file in files]
    files[1].write_bytes(files[1].read_bytes()[:-100])
    done = batch(files[0].parent, write=SEG)
    seg = pydicom.dcmread(made(done))
    found = labels_by_source(seg)
    assert set(found) == {sources[n].SOPInstanceUID for n in (0, 2, 3)}
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3
    np.testing.assert_array_equal(found[sources[3].SOPInstanceUID], square[3])
    assert done.scan["status"] == "partial"


def test_gaps_and_a_tilted_gantry_are_no_matter(batch, study, square):
    files = study()

    def tilt(index, dataset):
        dataset.ImagePositionPatient = [0, 0.5 * index, index * 2.5 + 5 * (index > 1)]

    change(files, tilt)
    done = batch(files[0].parent, write=SEG)
    assert {"gap", "gantry tilt"} <= set(done.scan["flags"])
    seg = pydicom.dcmread(made(done))
    places = {tuple(f.PlanePositionSequence[0].ImagePositionPatient) for f in seg.PerFrameFunctionalGroupsSequence}
    assert places == {tuple(pydicom.dcmread(file).ImagePositionPatient) for file in files}


def measures(seg):
    return seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


@pytest.mark.parametrize("said", [1.25, -1.25, None], ids=["the thickness", "negative", "nothing"])
@pytest.mark.parametrize("lost", [False, True], ids=["whole", "one lost"])
def test_slices_lie_as_far_apart_as_they_do_whatever_the_source_says(batch, study, said, lost):
    files = study(SpacingBetweenSlices=said) if said else study()

    def space(index, dataset):
        dataset.ImagePositionPatient, dataset.SliceThickness = [0, 0, 5 * index], 1.5

    change(files, space)
    if lost:
        files[1].unlink()
    file = made(batch(files[0].parent, write=SEG))
    assert measures(pydicom.dcmread(file)).SpacingBetweenSlices == 5
    assert measures(pydicom.dcmread(file)).SliceThickness == 1.5
    if not lost:
        assert highdicom.seg.segread(file).get_volume().spacing[0] == 5


def test_uneven_slices_have_no_one_distance(batch, study):
    files = study(SpacingBetweenSlices=2.5)
    change(files, lambda index, d: setattr(d, "ImagePositionPatient", [0, 0, (0, 1, 2.6, 4.9)[index]]))
    assert "SpacingBetweenSlices" not in measures(pydicom.dcmread(made(batch(files[0].parent, write=SEG))))


@pytest.mark.parametrize("thickness", [3, None], ids=["its own", "--spacing"])
def test_one_slice_is_as_thick_as_somebody_says(batch, study, draw, thickness):
    (file,) = study(draw(3, 64, 64)[None])
    change([file], lambda _, d: setattr(d, "SliceThickness", thickness))
    found = measures(pydicom.dcmread(made(batch(file.parent, write=SEG, spacing=(3.0, 1.0, 1.0)))))
    assert (found.SliceThickness, found.SpacingBetweenSlices) == (3, 3)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda index, d: d.pop("FrameOfReferenceUID"), "lack FrameOfReferenceUID"),
        (lambda index, d: setattr(d, "FrameOfReferenceUID", f"1.2.{index}"), "differ in FrameOfReferenceUID"),
        (lambda index, d: setattr(d, "SOPInstanceUID", "1.2.3"), "same SOPInstanceUID"),
        (lambda index, d: setattr(d, "PatientID", f"P{index}"), "name several patients"),
        (lambda index, d: d.pop("ImagePositionPatient"), "where they lie"),
        (lambda index, d: d.pop("PixelSpacing"), "how large their pixels are"),
        (lambda index, d: setattr(d, "PixelSpacing", [1, 1 + index]), "differ in size"),
        (lambda index, d: setattr(d, "ImagePositionPatient", [0, 0, index % 2]), "lie at the same place"),
        (lambda index, d: setattr(d, "ImagePositionPatient", [9 * index, 0, index // 2]), "lie at the same place"),
        (lambda index, d: setattr(d, "ImagePositionPatient", [0, 0, 2000 * index]), "how thick its slices are"),
    ],
)
def test_what_can_not_be_referred_to_has_no_object_and_the_scan_says_so(batch, study, how, reason):
    files = study()
    change(files, how)
    for _ in range(2):
        done = batch(files[0].parent, write=("mask", "dicom-seg"))
        (flag,) = [flag for flag in done.scan["flags"] if flag.startswith("no dicom-seg")]
        assert reason in flag
        assert (done.status, len(done.masks)) == (0, 4)
    assert done.summary["throughput"]["slices"] == 0


def strip(_, dataset):
    for tag in ("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID"):
        dataset.pop(tag, None)
    for tag in ("AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "Manufacturer", "SliceThickness"):
        dataset.pop(tag, None)


def garble(_, dataset):
    odd = {
        "PatientBirthDate": b"00000000", "PatientSex": b"U ", "PatientAge": b"old!", "PatientSize": b"tall",
        "StudyDate": b"2020.03.04", "StudyTime": b"noon", "PatientWeight": b"NaN ",
    }  # fmt: skip
    for tag, value in odd.items():
        vr = pydicom.datadict.dictionary_VR(tag)
        key = pydicom.tag.Tag(tag)
        dataset[key] = pydicom.dataelem.RawDataElement(key, vr, len(value), value, 0, False, True)


@pytest.mark.parametrize("how", [strip, garble])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # the test's own writing of odd values
def test_headers_that_lack_much_or_hold_nonsense_are_taken_for_what_they_are(batch, study, square, how, capfd):
    files = study()
    change(files, how)
    done = batch(files[0].parent, write=SEG)
    assert done.scan["flags"] == [flag for flag in done.scan["flags"] if "dicom-seg" not in flag]
    seg = pydicom.dcmread(made(done))
    assert set(labels_by_source(seg)) == {pydicom.dcmread(file).SOPInstanceUID for file in files}
    assert (seg.PatientSex, seg.PatientBirthDate) == ("", "")
    assert seg.ContentDate == "19000101"
    assert capfd.readouterr().err == ""


def test_a_name_in_any_letters_stays_the_same_name(batch, study):
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    files = study(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name)
    seg = pydicom.dcmread(made(batch(files[0].parent, write=SEG)))
    assert str(seg.PatientName) == name


@pytest.mark.parametrize(
    "syntax", [pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.DeflatedExplicitVRLittleEndian, pydicom.uid.RLELossless]
)
def test_any_encoding_of_the_source_will_do(batch, study, square, syntax):
    files = study()

    def encode(_, dataset):
        if syntax == pydicom.uid.RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax

    change(files, encode)
    found = labels_by_source(pydicom.dcmread(made(batch(files[0].parent, write=SEG))))
    for file, mask in zip(files, square, strict=True):
        np.testing.assert_array_equal(found[pydicom.dcmread(file).SOPInstanceUID], mask)


def test_one_slice_of_an_odd_size_is_enough(batch, study, draw):
    labels = draw(3, 64, 64)[None]
    file = made(batch(study(labels)[0].parent, write=SEG))
    (found,) = labels_by_source(pydicom.dcmread(file)).values()
    np.testing.assert_array_equal(found, labels[0])


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(batch, study):
    file = made(batch(study()[0].parent, write=SEG))
    told = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False).stderr
    assert "Segmentation" in told
    assert [line for line in told.splitlines() if line.startswith(("Error", "Warning"))] == []


@pytest.mark.skipif(not shutil.which("segimage2itkimage"), reason="dcmqi is not installed")
def test_dcmqi_gives_back_the_same_labels(batch, study, square, tmp_path):
    files = study()
    file = made(batch(files[0].parent, write=SEG))
    call = ["segimage2itkimage", "--inputDICOM", str(file), "--outputDirectory", str(tmp_path), "--prefix", "q"]
    subprocess.run(call, capture_output=True, check=True)
    found = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / f"q-{n}.nrrd"))) for n in (1, 2, 3)]
    np.testing.assert_array_equal(sum((image > 0) * n for n, image in enumerate(found, start=1)), square)
