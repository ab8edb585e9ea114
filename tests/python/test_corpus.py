"""The ONNX corpus through the Python module on the CPU provider: everything passes but what tests/onnx/exceptions.txt names."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "tests/onnx"))
import runner  # noqa: E402


@pytest.mark.skipif(not runner.CORPUS.exists(), reason=f"no {runner.CORPUS}: scripts/setup writes it")
def test_corpus():
    # A process of its own: a crash is a failure of this test, not of all others.
    paths = os.pathsep.join(p for p in [*sys.path, os.environ.get("PYTHONPATH", "")] if p)
    done = subprocess.run([sys.executable, str(ROOT / "tests/onnx/runner.py")], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
