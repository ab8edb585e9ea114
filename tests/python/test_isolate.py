"""Isolated providers: the same results, named as isolated, and no process that outlives the application."""
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import tenonrt as rt

from conftest import model

MODEL = model("g (float[N] x) => (float[N] y) { a = Sin(x) y = Relu(a) }")


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    path = tmp_path / "isolated.json"
    path.write_text('{"providers": [{"use": "cpu", "isolate": "process"}]}')
    monkeypatch.setenv("TENON_CONFIG", str(path))


def test_results_and_names(monkeypatch):
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    there = rt.InferenceSession(MODEL)
    monkeypatch.delenv("TENON_CONFIG")
    here = rt.InferenceSession(MODEL)
    np.testing.assert_array_equal(here.run(None, {"x": x})[0], there.run(None, {"x": x})[0])
    assert "(isolated)" in there.explain() and "(isolated)" not in here.explain()


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_process_leaves_with_the_application(end, tmp_path):
    (tmp_path / "m.onnx").write_bytes(MODEL)
    script = f"""
import os, signal, pathlib
import numpy as np, tenonrt as rt
s = rt.InferenceSession({str(tmp_path / "m.onnx")!r})
s.run(None, {{"x": np.zeros(3, np.float32)}})
print(*[pid for t in pathlib.Path("/proc/self/task").iterdir() for pid in (t / "children").read_text().split()], flush=True)
{"os._exit(0)" if end == "exit" else "os.kill(os.getpid(), signal.SIGKILL)"}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pids = done.stdout.split()
    assert len(pids) == 1, done.stdout + done.stderr
    for _ in range(1000):
        if not pathlib.Path(f"/proc/{pids[0]}/exe").exists():
            break
        time.sleep(0.02)
    status = pathlib.Path(f"/proc/{pids[0]}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_copy_of_the_process_is_told():
    s = rt.InferenceSession(MODEL)
    x = {"x": np.zeros(3, np.float32)}
    s.run(None, x)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            s.run(None, x)
        except Exception as e:
            code = 0 if "fork" in str(e) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    s.run(None, x)
