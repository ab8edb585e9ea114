"""Packed weights on disk (session.cache): found again by other processes, never trusted when damaged, and never a reason to fail."""
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import tenonrt as rt

import networks

SCRIPT = """
import sys, hashlib, numpy as np, tenonrt as rt
options = rt.SessionOptions()
options.add_session_config_entry("/session/cache", sys.argv[2])
session = rt.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = {i.name: np.linspace(-1, 1, int(np.prod(i.shape)), dtype=np.float32).reshape(i.shape) for i in session.get_inputs()}
print(hashlib.sha256(b"".join(o.tobytes() for o in session.run(None, feeds))).hexdigest())
"""


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "wide.onnx"
    path.write_bytes(networks.wide_network())
    return path


def output(path, cache=None, **entries):
    options = rt.SessionOptions()
    if cache:
        options.add_session_config_entry("/session/cache", str(cache))
    for key, value in entries.items():
        options.add_session_config_entry(f"/session/{key}", value)
    session = rt.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {i.name: np.linspace(-1, 1, int(np.prod(i.shape)), dtype=np.float32).reshape(i.shape) for i in session.get_inputs()}
    return session.run(None, feeds)


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def stored(cache):
    return {f.name: f.stat().st_mtime_ns for f in pathlib.Path(cache).glob("*.tnc")}


def test_nothing_is_written_unless_asked(network, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    output(str(network))
    assert not (tmp_path / "cache").exists()


def test_a_second_load_takes_what_the_first_left(network, tmp_path):
    cache = tmp_path / "a" / "cache"
    expected = output(str(network))
    same(output(str(network), cache), expected)
    first = stored(cache)
    assert len(first) >= 4
    assert os.stat(cache).st_mode & 0o077 == 0
    for check in ("header", "content"):
        same(output(str(network), cache, cache_check=check), expected)
    assert stored(cache) == first


def test_processes_share_one_folder(network, tmp_path):
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", SCRIPT, str(network), str(cache)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    results = {p.communicate()[0] for p in running}
    before = stored(cache)
    results.add(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(results) == 1 and stored(cache) == before


def test_damaged_files_are_made_anew(network, tmp_path):
    cache = tmp_path / "cache"
    expected = output(str(network), cache)
    for name in stored(cache):
        with open(cache / name, "r+b") as f:
            f.truncate(5000)
    same(output(str(network), cache), expected)
    for name in stored(cache):
        with open(cache / name, "r+b") as f:
            f.seek(-100, os.SEEK_END)
            f.write(b"\x55" * 100)
    same(output(str(network), cache, cache_check="content"), expected)


def test_a_changed_model_is_another_model(network, tmp_path):
    cache = tmp_path / "cache"
    old = output(str(network), cache)
    when = os.stat(network)
    network.write_bytes(networks.wide_network(seed=2))
    os.utime(network, ns=(when.st_atime_ns, when.st_mtime_ns))  # pretending to be the same does not help
    new = output(str(network), cache)
    assert not np.array_equal(old[0], new[0])
    same(new, output(str(network)))


def test_models_of_bytes_are_known_by_content(tmp_path):
    cache = tmp_path / "cache"
    expected = output(networks.wide_network(), cache)
    first = stored(cache)
    assert first
    same(output(networks.wide_network(), cache), expected)
    assert stored(cache) == first
    output(networks.wide_network(seed=2), cache)
    assert len(stored(cache)) > len(first)


def test_the_folder_stays_below_its_limit(network, tmp_path):
    cache = tmp_path / "cache"
    expected = output(str(network))
    same(output(str(network), cache, cache_size='"300KiB"'), expected)
    assert 0 < sum(f.stat().st_size for f in cache.iterdir()) <= 300 * 1024


@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "chmod"), reason="needs modes")
def test_a_folder_that_others_may_write_to_is_left_alone(network, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    same(output(str(network), cache), output(str(network)))
    assert not list(cache.iterdir())


def test_a_folder_that_cannot_be_made_is_no_error(network, tmp_path):
    (tmp_path / "file").write_text("in the way")
    same(output(str(network), tmp_path / "file" / "cache"), output(str(network)))


def test_idle_sessions_use_no_cpu(network):
    sessions = [rt.InferenceSession(str(network), providers=["CPUExecutionProvider"]) for _ in range(3)]
    for session in sessions:
        session.run(None, {i.name: np.ones(i.shape, np.float32) for i in session.get_inputs()})
    time.sleep(0.2)  # what spins for the next step has gone to sleep
    spent = []
    for _ in range(4):  # what spins does so all the time; other threads of this process may have their moment
        before = time.process_time()
        time.sleep(0.25)
        spent.append(time.process_time() - before)
    assert min(spent) < 0.0025, spent


def test_measured_choices_are_kept(network, tmp_path):
    cache = tmp_path / "cache"
    options = rt.SessionOptions()
    options.add_session_config_entry("/session/cache", str(cache))
    expected = output(str(network))
    feeds = {"x": np.linspace(-1, 1, 32 * 24 * 24, dtype=np.float32).reshape(1, 32, 24, 24)}
    found = []
    for _ in range(2):
        session = rt.InferenceSession(str(network), options, providers=[("CPUExecutionProvider", {"tune": True})])
        np.testing.assert_allclose(session.run(None, feeds)[0], expected[0], rtol=1e-4, atol=1e-4)
        found.append({f.name for f in cache.glob("*.tnc") if f.stat().st_size < 3 * 4096})
    assert found[0] and found[0] == found[1]
