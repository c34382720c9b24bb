from ctseg import flags


def test_what_else_was_made_of_a_scan_makes_none_of_its_figures_doubtful():
    said = [flags.NOT_SCORED, flags.FAILED_ARE_BACKGROUND, "no nifti: its slices are unevenly spaced", flags.GAP]
    said.append("no dicom-seg: no lung was found")
    assert flags.doubts_among(said) == [flags.GAP]
    assert flags.doubts_among([flags.no_truth_for("3 slices")])
