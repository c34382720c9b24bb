import pytest

from ctseg.printable import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ü [b]", "plain ü [b]"),
        ("a\x1b[1mb", "a\\x1b[1mb"),
        ("a\nb\udcff", "a\\nb\\udcff"),
        ("\u202ex", "\\u202ex"),
    ],
)
def test_control_characters_are_spelt_out(name, shown):
    assert printable(name) == shown
