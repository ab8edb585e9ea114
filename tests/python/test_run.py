"""Runs from several threads, and runs that are ended early."""
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tenonrt as rt

from conftest import FOREVER, SUMS, model

ENDLESS = {"limit": np.array(2**62), "x": np.ones(1, np.float32)}


def test_many_threads_share_a_session():
    session = rt.InferenceSession(model(SUMS))
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            x = rng.random((int(rng.integers(1, 50)), 3), dtype=np.float32)
            if not np.array_equal(session.run(["sum"], {"x": x, "y": x})[0], x + x):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures


def test_deadline():
    session = rt.InferenceSession(model(FOREVER))
    options = rt.RunOptions()
    options.deadline_ms = 50
    start = time.monotonic()
    with pytest.raises(rt.DeadlineExceeded) as caught:
        session.run(None, ENDLESS, options)
    assert time.monotonic() - start < 5
    assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, rt.Fail)


def test_terminate_from_another_thread_and_other_threads_go_on():
    session = rt.InferenceSession(model(FOREVER))
    options = rt.RunOptions()
    ticks = []

    def stop():
        for _ in range(5):
            ticks.append(time.monotonic())
            time.sleep(0.01)
        options.terminate = True

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(rt.Cancelled):
        session.run(None, ENDLESS, options)
    thread.join()
    assert len(ticks) == 5  # the GIL was free
    assert options.terminate is True
    with pytest.raises(rt.Cancelled):
        session.run(None, ENDLESS, options)
    options.terminate = False
    assert session.run(None, {**ENDLESS, "limit": np.array(3)}, options)[0].shape == (1,)


def test_limits_of_the_configuration():
    options = rt.SessionOptions()
    options.add_session_config_entry("/limits/run", "50ms")
    with pytest.raises(rt.DeadlineExceeded):
        rt.InferenceSession(model(FOREVER), options).run(None, ENDLESS)


SCRIPT = """
import sys, time, threading, os, signal
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
import numpy as np, tenonrt as rt
session = rt.InferenceSession(sys.argv[2])
feed = {"limit": np.array(2**62), "x": np.ones(1, np.float32)}
options = rt.RunOptions() if sys.argv[3] == "options" else None
try:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    session.run(None, feed, options)
except KeyboardInterrupt:
    print("interrupted")
feed["limit"] = np.array(2)
print(session.run(None, feed, options)[0].shape)
try:
    time.sleep(0 if sys.argv[3] == "options" else 0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("and again")
"""


@pytest.mark.parametrize("kind", ["plain", "options"])
def test_ctrl_c_ends_a_run(tmp_path, kind):
    path = tmp_path / "forever.onnx"
    path.write_bytes(model(FOREVER))
    package = rt.__path__[0].rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", SCRIPT, package, str(path), kind], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:3] == ["interrupted", "(1,)", "and again"], done.stderr


def test_handlers_of_the_application_are_left_alone():
    seen = []
    old = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        time.sleep(0.06)
        session = rt.InferenceSession(model(SUMS))
        x = np.ones((1, 3), np.float32)
        session.run(None, {"x": x, "y": x})
        signal.raise_signal(signal.SIGINT)
        session.run(None, {"x": x, "y": x})
        assert seen == [1]
    finally:
        signal.signal(signal.SIGINT, old)


def test_runs_off_the_main_thread_end_with_their_deadline():
    session = rt.InferenceSession(model(FOREVER))
    options = rt.RunOptions()
    options.timeout = 0.05
    caught = []

    def work():
        try:
            session.run(None, ENDLESS, options)
        except rt.DeadlineExceeded as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert len(caught) == 1
