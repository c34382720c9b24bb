"""A store on this machine, to be written to and read from past all that it does to who uses it."""

import json
import subprocess
import sys
import urllib.request
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDHERE", "AWS_SECRET_ACCESS_KEY": "planted/secret+that/nobody/may/see"}


class Bucket:
    """One bucket of the server; `faulty` is where the command finds it, what is done here goes past all faults."""

    def __init__(self, name, client, faulty):
        self.name, self.client, self.faulty = name, client, faulty

    def url(self, path):
        return f"s3://{self.name}/{path}"

    def put(self, key, content):
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def remove(self, key):
        self.client.delete_object(Bucket=self.name, Key=key)

    def upload(self, folder, prefix):
        wanted = {"bucket": self.name, "folder": str(folder), "prefix": prefix}
        self._control("PUT", "load", json.dumps(wanted).encode())

    def listed(self, prefix=""):
        """The keys below a prefix, without it, and when each was last changed."""
        return {key.removeprefix(prefix): one["LastModified"] for key, one in self._objects(prefix).items()}

    def files(self, out):
        """The MD5 of all that a run left for people but summary.json, by path below OUT."""
        found = {key.removeprefix(f"{out}/"): one["ETag"].strip('"') for key, one in self._objects(f"{out}/").items()}
        return {name: md5 for name, md5 in found.items() if ".ctseg" not in name and name != "summary.json"}

    def _objects(self, prefix):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {one["Key"]: one for page in pages for one in page.get("Contents", ())}

    def summary(self, out):
        return json.loads(self.get(f"{out}/summary.json"))

    def faults(self, **faults):
        self._control("PUT", "faults", json.dumps(faults).encode())

    def counts(self):
        """How often the server was asked since this was last asked, by kind of request."""
        return json.loads(self._control("GET", "counts"))

    def _control(self, method, what, content=None):
        request = urllib.request.Request(f"{self.faulty}/-/{what}", content, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()


@pytest.fixture(scope="session")
def figures():
    """Of a summary, what does not depend on how fast it was."""
    return lambda summary: json.loads(json.dumps({k: v for k, v in summary.items() if k != "throughput"}))


@pytest.fixture(scope="session")
def files():
    """The MD5 of all that a run left for people in a folder, but summary.json."""

    def found(out):
        all_files = (file for file in out.rglob("*") if file.is_file() and ".ctseg" not in file.parts)
        by_name = {file.relative_to(out).as_posix(): file for file in all_files if file.name != "summary.json"}
        return {name: md5(file.read_bytes()).hexdigest() for name, file in by_name.items()}

    return found


@pytest.fixture(scope="session")
def server():
    """The addresses of the plain server and of the faulty one."""
    pytest.importorskip("moto.server")
    script = Path(__file__).with_name("s3_server.py")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield [f"http://127.0.0.1:{port}" for port in process.stdout.readline().split()]
        process.stdin.close()


@pytest.fixture
def environment(server, monkeypatch, tmp_path):
    """What leads s3fs to the server, whatever else there is on this machine; and a place for what is on its way."""
    import tempfile

    (tmp_path / "tmp").mkdir()
    given = {
        **SECRETS,
        "AWS_ENDPOINT_URL": server[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return given


@pytest.fixture
def bucket(server, environment, monkeypatch, request):
    """A bucket of its own, and no long waits in this process."""
    import boto3

    monkeypatch.setattr("ctseg_batch.remote.retry._LONGEST_PAUSE_S", 0.02)
    client = boto3.client("s3", endpoint_url=server[0])
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    client.create_bucket(Bucket=name)
    made = Bucket(name, client, server[1])
    made.faults()
    made.counts()
    yield made
    made.faults()
    client.close()


@pytest.fixture
def run(batch, bucket):
    """Run from what lies at `scans/` in the bucket into `out/` there."""
    from ctseg_batch.url import location

    return lambda **more: batch(location(bucket.url("scans")), **{"out": location(bucket.url("out")), **more})


@pytest.fixture
def told(command, bucket):
    """The same by the command; `more` is said besides."""
    return lambda *more: command(bucket.url("scans"), "--out", bucket.url("out"), *more)


@pytest.fixture
def few(draw, save_slice, save_volume, bucket, tmp_path):
    """Four images of two folders and a volume, here and in the bucket."""
    for name in ("a/1", "a/2", "b/1", "b/2"):
        save_slice(tmp_path / f"scans/{name}.png", draw(int(name[-1])))
    save_volume(tmp_path / "scans/v.nii", np.stack([draw(n, 64, 64) for n in range(3)]), (2.0, 1.0, 1.0))
    bucket.upload(tmp_path / "scans", "scans")
    return tmp_path / "scans"
