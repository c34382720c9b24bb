"""What may stand in a URL, what is said where it can't be used, and that nobody learns a secret."""

import gc
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest

from ctseg.errors import CallError
from ctseg_batch.remote.recorded import results_among
from ctseg_batch.remote.retry import reason
from ctseg_batch.remote.store import Store
from ctseg_batch.url import Url, holding, location


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("scans", Path("scans")),
        ("a::b", Path("a::b")),
        ("C:/scans", Path("C:/scans")),
        ("file:///scans/a b", Path("/scans/a b")),
        ("FILE://localhost/scans", Path("/scans")),
        ("S3://bucket/scans", Url("s3", "bucket/scans")),
        ("SFTP://who@there:2222/scans", Url("sftp", "who@there:2222/scans")),
        ("s3://bucket/a#b/100%/", Url("s3", "bucket/a#b/100%")),
        ("sftp://who@there:2222/scans", Url("sftp", "who@there:2222/scans")),
        ("abfs://container@account.dfs.core.windows.net/a", Url("abfs", "container@account.dfs.core.windows.net/a")),
        ("zip::/scans.zip", Url("zip", "", "/scans.zip")),
        ("zip://a/b::s3://bucket/scans.zip", Url("zip", "a/b", "s3://bucket/scans.zip")),
    ],
)
def test_a_place_is_what_was_written(written, place):
    assert location(written) == place
    assert location(str(place)) == place


def test_a_bucket_or_a_machine_that_is_called_like_a_folder_of_results_is_none(monkeypatch):
    monkeypatch.setattr("ctseg_batch.remote.recorded.Store", None)  # nothing is asked
    assert results_among([Url("s3", "masks/a"), Url("sftp", "nifti/scans"), Url("s3", "bucket/scans")]) == {}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("http://host/scans", "or download the files first"),
        ("s3://", "it names no bucket"),
        ("file://localhost", "it names no path"),
        ("file://host/scans", "host is another machine; name a path on this one, like file:///scans"),
        ("sftp://host", "it names no folder"),
        ("zip://a", "say which archive"),
        ("s3://b/x::s3://b/y", "only zip::ARCHIVE names"),
        ("zip::zip::a.zip", "only zip::ARCHIVE names"),
        ("zip::http://host/a.zip", "use one of s3://, gs://"),
        ("s3://bucket/a/../b", "its path can't contain `.`, `..` or `//`"),
        ("s3://bucket//a", "its path can't contain `.`, `..` or `//`"),
    ],
)
def test_what_is_no_place_is_refused(command, written, said, tmp_path):
    left = command(written, "--out", tmp_path / "out")
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert said in left.err


@pytest.mark.parametrize(
    "written",
    [
        "s3://AKIA:secret@bucket/a",
        "s3://AKIA:se/secret@bucket/a",
        "s3://AKIA:123/secret@bucket/a",
        "s3://AKIA:secret/more",
        "sftp://who:secret@there/a",
        "sftp://who:12@secret@there/a",
        "zip::sftp://who:secret@there/a.zip",
        "az://container/a?sig=secret",
        "s3://bucket/a?X-Amz-Signature=secret",
    ],
)
@pytest.mark.parametrize("where", ["input", "out", "root", "list"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(command, written, where, tmp_path):
    (tmp_path / "list").write_text(written)
    calls = {
        "input": [written, "--out", tmp_path],
        "out": [tmp_path, "--out", written],
        "list": ["--from", tmp_path / "list", "--out", tmp_path],
    }
    left = command(*calls.get(where, [tmp_path, "--out", tmp_path / "out", "--root", written]))
    assert left.status == 2
    assert "a URL must not contain a password, key or token" in left.err
    assert "secret" not in left.err + left.out


def test_what_a_library_says_is_told_without_what_is_secret(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=planted==")
    assert reason(OSError(5, "bad AccountKey=planted== here")) == "bad *** here"
    assert (
        reason(Exception("no answer from https://host/c/k?sig=planted&x=1 at all"))
        == "no answer from https://host/c/k at all"
    )
    assert reason(TimeoutError()) == "TimeoutError"


def test_the_deepest_place_holds_all():
    urls = [location(f"s3://bucket/scans/{name}") for name in ("a/1", "a/2", "ab")]
    assert holding(urls) == location("s3://bucket/scans")
    assert holding(urls[:1]) == urls[0]
    assert urls[0].below(urls[2]) is None
    assert urls[0].below(location("s3://bucket")) == "scans/a/1"
    archive = [location(f"zip://{name}::s3://bucket/scans.zip") for name in ("a", "b")]
    assert str(holding(archive)) == "zip::s3://bucket/scans.zip"
    for others in (["s3://other/a"], ["gs://bucket/scans/a"], ["zip::s3://bucket/scans.zip"]):
        with pytest.raises(CallError, match="different stores"):
            holding([*urls, *map(location, others)])


REFUSED = [
    (["{s3}/scans", "{here}"], [], "some INPUTs are on this machine and some in a store: call once for each"),
    (["{s3}/scans", "s3://another-bucket/scans"], [], "the inputs lie in different stores: call once for each"),
    (["{s3}/scans"], ["--root", "{here}"], "some INPUTs are on this machine and some in a store: call once for each"),
    (["{here}"], ["--root", "{s3}"], "the inputs are not below it"),
    (["{s3}/scans"], ["--root", "{s3}/other"], "is not below it"),
    (["{s3}/scans"], ["--root", "{s3}/scans/v.nii", "--from", "{list}"], "it is a file"),
    (["{s3}/scans"], ["--report"], "not in s3://"),
    (["{s3}/out"], [], "is read, and would be written to"),
    (["{s3}/out/masks/a"], [], "is read, and would be written to"),
    (["{s3}/nothing"], [], "does not exist or is empty"),
    (["{s3}/scans"], ["--truth", "{s3}/truth"], "this works only with files on this machine"),
    (["{s3}/scans"], ["--out", "zip::{here}/out.zip"], "an archive can be read, but not written to"),
    (["{s3}/scans"], ["--out", "s3://no-such-bucket/out"], "there is no such bucket or folder"),
    (["s3://no-such-bucket/scans"], [], "does not exist or is empty"),
    (["zip::{here}/none.zip"], [], "No such file or directory"),
    (["zip::{here}/list"], [], "File is not a zip file"),
]


@pytest.mark.parametrize(("inputs", "more", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_what_does_not_go_together_is_refused_in_one_line(few, bucket, command, tmp_path, inputs, more, said):
    names = {"s3": f"s3://{bucket.name}", "here": tmp_path, "list": tmp_path / "list"}
    (tmp_path / "list").write_text(bucket.url("scans/v.nii"))
    given = [one.format(**names) for one in inputs]
    if "--from" in more:
        given = []
    out = () if "--out" in more else ("--out", bucket.url("out"))
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # fsspec leaves what is no archive open
        left = command(*given, *out, *(one.format(**names) for one in more))
        gc.collect()
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert said in left.err
    assert not bucket.listed("out/masks")


def test_a_store_that_does_not_answer_is_named_in_one_line(few, bucket, told, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    left = told()
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert f"{bucket.url('scans')} does not answer: Could not connect to the endpoint URL" in left.err


def test_who_says_not_who_asks_is_told_at_once(few, bucket, told, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    left = told()
    assert (left.status, left.err.count("\n")) == (2, 1)
    assert "can't be used: Unable to locate credentials" in left.err


def test_a_store_that_can_be_read_and_not_written_ends_the_run(few, bucket, told):
    bucket.faults(refuse={"out/masks/b/2.png": 403})
    left = told()
    assert left.status == 2
    assert f"error: {bucket.url('out')} can't be used: Access Denied; finished scans are kept" in left.err
    assert "Traceback" not in left.err
    bucket.faults()
    assert told("-q").status == 0


def test_no_secret_is_written_or_told(process_of_batch, few, bucket, environment, quarters, tmp_path):
    bucket.faults(refuse={"scans/a/1.png": 403})
    call = [*process_of_batch, bucket.url("scans"), "--model", str(quarters), "--device", "cpu", "-v"]
    for out in (bucket.url("out"), str(tmp_path / "out")):
        done = subprocess.run([*call, "--out", out], capture_output=True, check=False)
        assert done.returncode == 1
        assert b"failed: a/1.png: can't be fetched: Access Denied" in done.stderr
        assert not list(Path(tempfile.gettempdir()).iterdir())
        written = [bucket.get(f"out/{name}") for name in bucket.listed("out/")]
        written += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
        told = b"".join([done.stdout, done.stderr, *written])
        assert b"a/1.png" in told
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert environment[name].encode() not in told


def test_google_and_azure_are_opened_by_what_the_environment_says(monkeypatch):
    pytest.importorskip("gcsfs")
    pytest.importorskip("adlfs")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url in ("gs://bucket/scans", "az://container/scans"):
        assert Store(location(url)).url == location(url)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(CallError, match="az://container/scans can't be used"):
        Store(location("az://container/scans"))
