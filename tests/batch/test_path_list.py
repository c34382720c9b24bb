"""`--from FILE`: inputs from a list that another program wrote."""

import io
import json
import os
from types import SimpleNamespace

import pytest


@pytest.fixture
def scans(draw, save_slice, tmp_path):
    for name in ("p1/a.png", "p2/a.png", "p2/b.png", "p 3/a.png"):
        save_slice(tmp_path / "in" / name, draw())
    return tmp_path / "in"


@pytest.fixture
def lists(command, tmp_path):
    """Run on what a list holds, after any other arguments; gives back how it left, and the summary."""

    def called(content, *arguments):
        file = tmp_path / "list"
        file.write_bytes(content)
        left = command(*arguments, "--from", file, "--out", tmp_path / "out", "--json")
        return left, json.loads(left.out) if left.out else None

    return called


def names(summary):
    return {scan["scan"]: scan["slices"] for scan in summary["scans"]}


def lines(*paths, end=b"\n"):
    return b"".join(os.fsencode(path) + end for path in paths)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_paths_stand_one_a_line_or_are_parted_by_nul_bytes(lists, scans, end):
    left, summary = lists(lines(scans / "p1", scans / "p2/b.png", scans / "p 3", end=end))
    assert left.status == 0
    assert names(summary) == {"p1": 1, "p2": 1, "p 3": 1}


def test_between_nul_bytes_a_line_end_belongs_to_the_name(lists, scans, draw, save_slice):
    odd = save_slice(scans / "new\nline" / "a.png", draw()).parent
    left, summary = lists(lines(odd, scans / "p1", end=b"\0"))
    assert left.status == 0
    assert set(names(summary)) == {"new\nline", "p1"}


def test_blank_lines_are_passed_over_and_names_are_taken_as_they_stand(lists, scans, draw, save_slice):
    save_slice(scans / "# no comment " / "a.png", draw())
    left, summary = lists(b"\n\n" + lines(scans / "# no comment ", scans / "p1") + b"  \n")
    assert left.status == 0
    assert set(names(summary)) == {"# no comment ", "p1"}


def test_names_of_no_encoding_are_found(lists, scans, draw, save_slice):
    save_slice(scans / "caf\udce9" / "a.png", draw())
    left, summary = lists(lines(scans / "caf\udce9", scans / "p1"))
    assert left.status == 0
    assert "caf\udce9" in names(summary)


def test_a_relative_path_begins_at_the_current_folder(lists, scans, tmp_path, monkeypatch):
    monkeypatch.chdir(scans)
    assert set(names(lists(b"p1\np2\n")[1])) == {"p1", "p2"}


def test_what_is_not_there_fails_by_name_and_the_rest_is_done(lists, scans):
    left, summary = lists(lines(scans / "p1", scans / "p2/gone.png", scans / "nowhere"))
    assert left.status == 1
    assert names(summary) == {"p1": 1}
    assert summary["errors"] == [
        {"file": name, "reason": "does not exist or is not readable"} for name in ("nowhere", "p2/gone.png")
    ]
    assert "failed: nowhere: does not exist" in left.err


def test_a_path_that_is_missing_for_a_while_moves_no_name(lists, scans):
    (scans / "p1").rename(scans / "away")
    lists(lines(scans / "p1/a.png", scans / "p2"))
    (scans / "away").rename(scans / "p1")
    left, summary = lists(lines(scans / "p1/a.png", scans / "p2"))
    assert left.status == 0
    assert names(summary) == {"p1": 1, "p2": 2}
    assert summary["throughput"]["slices"] == 1


def test_with_a_root_of_their_own_lists_share_an_out(lists, scans):
    lists(lines(scans / "p1"), "--root", scans)
    left, summary = lists(lines(scans / "p2/a.png"), "--root", scans)
    assert left.status == 0
    assert names(summary) == {"p2": 1}
    left, _ = lists(lines(scans / "p2/a.png"))
    assert left.status == 2
    assert f"holds the results of {scans}" in left.err
    assert f"or --root {scans}" in left.err


def test_where_nothing_that_is_listed_is_there_the_status_is_2(lists, scans):
    assert lists(lines(scans / "nowhere"))[0].status == 2


def test_a_list_adds_to_the_inputs_and_nothing_is_done_twice(lists, scans):
    left, summary = lists(lines(scans / "p2/b.png", scans / "p2", scans / "p 3"), scans / "p1", scans / "p2")
    assert left.status == 0
    assert names(summary) == {"p1": 1, "p2": 2, "p 3": 1}


def test_what_a_run_has_written_is_left_out_and_told(lists, scans, batch, tmp_path):
    out = batch(scans / "p1", out=scans / "done").out
    listed = lines(scans / "p1/a.png", scans / "p2/a.png", out / "masks/a.png", scans / "p2/b.png")
    left, summary = lists(listed)
    assert (left.status, names(summary)) == (0, {"p1": 1, "p2": 2})
    assert summary["notes"] == [f"no CT in {out / 'masks'}, only results or reference masks"]
    (scans / "link.png").symlink_to(out / "masks/a.png")
    left, summary = lists(lines(scans / "p1/a.png", scans / "p2", scans / "link.png"))
    assert (left.status, names(summary)) == (0, {"p1": 1, "p2": 2})
    left, _ = lists(lines(out / "masks/a.png", out / "masks"))
    assert (left.status, left.err) == (
        2, f"error: {out / 'masks/a.png'} was written by ctseg into {out}: name the scans themselves\n"
    )  # fmt: skip


def test_standard_input_is_a_list_too(command, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines(scans / "p1", scans / "p2"))))
    left = command("--from", "-", "--out", tmp_path / "out", "--json")
    assert set(names(json.loads(left.out))) == {"p1", "p2"}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\0\0"])
def test_a_list_of_nothing_is_a_wrong_call(lists, content):
    left, _ = lists(content)
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "lists no path" in left.err


def test_where_there_is_no_standard_input_the_call_is_wrong(command, tmp_path, monkeypatch):
    """As a service has it that was started with all of it closed."""
    monkeypatch.setattr("sys.stdin", None)
    left = command("--from", "-", "--out", tmp_path / "out")
    assert (left.status, left.err) == (2, "error: --from -: there is no standard input\n")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_list_in_utf_16_is_refused(lists, scans, encoding):
    left, _ = lists(f"\ufeff{scans / 'p1'}\n".encode(encoding))
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "is in UTF-16: save it as UTF-8" in left.err


def test_a_mark_of_utf_8_belongs_to_no_name(lists, scans):
    left, summary = lists(f"{scans / 'p1'}\n".encode("utf-8-sig"))
    assert left.status == 0
    assert set(names(summary)) == {"p1"}


def test_a_list_that_cannot_be_read_is_a_wrong_call(command, tmp_path):
    left = command("--from", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert left.status == 2
    assert "can't be read: No such file or directory" in left.err


def test_without_input_or_list_the_call_is_wrong(command, tmp_path):
    left = command("--out", tmp_path / "out")
    assert left.status == 2
    assert "give at least one INPUT, or --from with a file that lists them" in left.err


@pytest.mark.parametrize("given", [["", "--out", "out"], [".", "--out", ""]])
def test_an_empty_path_is_not_the_current_folder(command, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    left = command(*given)
    assert (left.status, left.err) == (2, "error: a path is empty: is it a variable that is not set?\n")


def test_out_is_kept_apart_from_what_is_listed(lists, scans, tmp_path):
    lists(lines(scans / "p1", scans / "p2"))
    left, _ = lists(lines(scans / "p1", tmp_path / "out/masks/p2/a.png"))
    assert left.status == 2
    assert "would be written to" in left.err
