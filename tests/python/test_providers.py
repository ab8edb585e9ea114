import subprocess
import sys

import numpy as np
import pytest
import tenonrt as rt

from conftest import SUMS, model

X = np.ones((2, 3), np.float32)


def test_lists_are_truthful():
    assert rt.get_available_providers()[-1] == "CPUExecutionProvider"
    assert set(rt.get_available_providers()) <= set(rt.get_all_providers())
    cpu = next(info for info in rt.providers_report() if info["id"] == "cpu")
    assert cpu["state"] in ("ready", "loaded")
    assert rt.get_device() in ("CPU", "GPU")


def test_unusable_providers_are_listed_with_a_reason(tmp_path):
    (tmp_path / "broken.tenon.json").write_text(
        '{"manifest_version": 1, "id": "broken", "aliases": ["BrokenExecutionProvider"], "version": "1.0",'
        ' "abi": {"major": 1, "min": 0, "target": 0}, "library": {"linux-x86_64": "absent.so", "linux-aarch64": "absent.so"}}'
    )
    rt.add_provider_path(str(tmp_path))
    broken = next(info for info in rt.providers_report() if info["id"] == "broken")
    assert broken["state"] == "unusable" and "absent.so" in broken["reason"]
    assert "BrokenExecutionProvider" not in rt.get_available_providers()
    assert "BrokenExecutionProvider" in rt.get_all_providers()
    with pytest.raises(rt.Error, match="absent.so"):
        rt.InferenceSession(model(SUMS), providers=["BrokenExecutionProvider", "CPUExecutionProvider"])
    session = rt.InferenceSession(model(SUMS), providers=[("broken", {"required": False}), "cpu"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert any("broken" in note for note in session.explain("dict")["notes"])


@pytest.mark.parametrize(
    "providers", [None, ["CPUExecutionProvider"], ["cpu"], [("cpu", {})], [("CPUExecutionProvider", {"device_id": 0})], ["cpu:0"]]
)
def test_names(providers):
    session = rt.InferenceSession(model(SUMS), providers=providers)
    assert "CPUExecutionProvider" in session.get_providers()
    assert "CPUExecutionProvider" in session.get_provider_options()
    session.run(None, {"x": X, "y": X})


def test_options_are_checked_and_remembered():
    session = rt.InferenceSession(model(SUMS), providers=["cpu"], provider_options=[{"plain": True}])
    assert session.get_provider_options() == {"CPUExecutionProvider": {"plain": "True"}}
    with pytest.raises(rt.InvalidArgument, match="plain"):
        rt.InferenceSession(model(SUMS), providers=[("cpu", {"plan": True})])
    session.set_providers(["CPUExecutionProvider"])
    assert (session.run(None, {"x": X, "y": X})[0] == 2).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"providers": "cpu"},
        {"providers": [1]},
        {"providers": ["cpu"], "provider_options": []},
        {"provider_options": [{}]},
        {"providers": [("cpu", {})], "provider_options": [{}]},
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError):
        rt.InferenceSession(model(SUMS), **arguments)


def test_unknown_providers_raise():
    with pytest.raises(rt.EPFail, match="NoSuchExecutionProvider"):
        rt.InferenceSession(model(SUMS), providers=["NoSuchExecutionProvider", "CPUExecutionProvider"])


def test_import_is_quick_and_quiet():
    code = "import sys, time; t = time.process_time(); import tenonrt; print(time.process_time() - t, 'numpy' in sys.modules)"
    package = rt.__path__[0].rpartition("/")[0]
    best = 9.0
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": package})
        assert done.stderr == ""
        seconds, numpy = done.stdout.split()
        best = min(best, float(seconds))
    assert numpy == "False"
    assert best < 0.5  # seconds of a CPU: 50 ms, whatever else the machine does


def test_command_line():
    done = subprocess.run([sys.executable, "-m", "tenonrt", "--help"], capture_output=True, text=True,
                          env={"PYTHONPATH": rt.__path__[0].rpartition("/")[0]})
    assert done.returncode == 0 and "tenon" in done.stdout or "without the tenon command" in done.stderr
