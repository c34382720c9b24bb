import pytest

from ctseg_batch.held_out import MEAN_PRESENT, by_class, most_classes_first


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (
            {"consolidation": 0, "ground_glass": 0, "normal_lung": 0.9, "mean": 0.3, "mean_present": 0.9},
            {"normal_lung": 0.9, "ground_glass": None, "consolidation": None, MEAN_PRESENT: 0.9},
        ),
        (  # a 0 that counts: the class is there, and was not found
            {"ground_glass": 0, "normal_lung": 0.9, "mean": 0.45, "mean_present": 0.45},
            {"normal_lung": 0.9, "ground_glass": 0, MEAN_PRESENT: 0.45},
        ),
        ({"ground_glass": 0, "normal_lung": 0.9, "mean": 0.45}, {"normal_lung": 0.9, "ground_glass": 0, "mean": 0.45}),
        (None, {}),
    ],
)
def test_a_set_has_one_mean_and_no_0_for_classes_that_it_does_not_show(figures, told):
    assert by_class(figures) == told
    assert list(by_class(figures)) == list(told)


def test_the_set_of_most_classes_comes_first():
    def scored(*names):
        values = dict.fromkeys(names, 0.5)
        return {"iou": {**values, "mean": 0.5, "mean_present": 0.5}}

    few, same, most = scored("normal_lung"), scored("background"), scored("background", "normal_lung")
    scores = {"few": few, "note": "a text", "same": same, "most": most}
    assert list(most_classes_first(scores)) == ["most", "few", "same", "note"]
