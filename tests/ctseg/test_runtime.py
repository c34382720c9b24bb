"""The runtime keeps to itself: a scan is nobody else's business."""

import os
import subprocess
import sys


def test_the_runtime_leaves_nothing_in_the_home_folder_and_starts_no_telemetry(tmp_path):
    """From 1.31 on it would note an identifier and a queue of events there, for its maker."""
    code = (
        "from ctseg.model import find_model\nfrom ctseg.runtime import open_on_cpu\nopen_on_cpu(find_model('fast'))\n"
    )
    foreign = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_who_wants_telemetry_may_have_it():
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    code = "import os, ctseg; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    said = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "0"
