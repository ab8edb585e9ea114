"""The command line: every command, its exit codes, data on stdout and messages on stderr."""
import json
import pathlib
import re
import subprocess

import numpy as np
import onnx
import pytest
import tenonrt as rt
from conftest import FOREVER, SUMS, model
from onnx import numpy_helper

TENON = pathlib.Path(rt.__path__[0]) / "bin/tenon"
SECOND = pathlib.Path(rt.__path__[0]).parent.parent / "test_providers/second"
X, Y = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)


@pytest.fixture
def sums(tmp_path):
    (tmp_path / "sums.onnx").write_bytes(model(SUMS))
    return str(tmp_path / "sums.onnx")


def tenon(*args, code=0, cwd=None):
    done = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def data(*args):
    return json.loads(tenon(*args, "--format", "json").stdout)


def test_help_names_every_command_and_exit_code():
    text = tenon("--help").stdout
    for word in ("run", "bench", "inspect", "explain", "tune", "compile", "doctor", "profile", "providers", "plugin", "config", "Exit codes"):
        assert word in text
    assert rt.__version__ in tenon("--version").stdout


@pytest.mark.parametrize("args,code,text", [
    ([], 2, "subcommand"), (["walk"], 2, "no command \"walk\""), (["run"], 2, "model"), (["run", "/nowhere.onnx"], 2, "/nowhere.onnx"),
    (["run", "MODEL", "--frequency", "3"], 2, "frequency"), (["run", "MODEL", "--format", "xml"], 2, "xml"),
    (["run", "MODEL", "-t", "0"], 2, "threads"), (["bench", "MODEL", "--runs", "0"], 2, "runs"),
    (["run", "MODEL", "--set", "threads"], 2, "POINTER=VALUE"), (["run", "MODEL", "-d", "batch"], 2, "NAME=N"),
    (["run", "MODEL", "-d", "bacth=2"], 2, "bacth"), (["config"], 2, "subcommand"),
    (["run", "MODEL", "-o", "cpu.plain=true"], 2, "not named with --provider"),
    (["bench", "MODEL", "-o", "cpu.plain=true"], 2, "not named with --provider"),
    (["run", "MODEL", "-i", "z=FILE"], 2, 'no "z"; it takes "x", "y"'),
    (["run", "MODEL", "--output-name", "z"], 2, 'no "z"; it gives "sum", "same"'), (["run", "MODEL", "-i", "FILE"], 2, "NAME="),
    (["run", "MODEL", "-i", "EMPTY"], 2, "input_0.pb"), (["run", "MODEL", "-i", "x=/nowhere.npy"], 1, "/nowhere.npy"),
    (["run", "MODEL", "-O", "FILE/x.npz"], 1, "FILE/x.npz"), (["run", "MODEL", "-O", "FILE/x"], 1, "FILE/x"), (["run", "FILE"], 3, "not"),
    (["explain", "FILE"], 3, "not"), (["inspect", "FILE"], 3, "not"), (["bench", "FILE"], 3, "not"), (["profile", "FILE"], 3, "not"),
    (["run", "MODEL", "--set", "/session/treads=2"], 4, 'did you mean "threads"'),
    (["run", "MODEL", "-p", "cpu", "-o", "cpu.plane=true"], 4, 'did you mean "plain"'),
    (["bench", "MODEL", "--set", "/session/treads=2"], 4, "treads"), (["config", "check", "/nowhere.json"], 4, "/nowhere.json"),
    (["run", "MODEL", "-p", "npu"], 5, 'no provider "npu"'), (["bench", "MODEL", "-p", "npu"], 5, "npu"),
    (["providers", "npu"], 5, "npu")])
def test_wrong_command_lines(sums, tmp_path, args, code, text):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "empty").mkdir()
    places = {"MODEL": sums, "FILE": str(tmp_path / "x.npy"), "EMPTY": str(tmp_path / "empty")}
    for word, place in places.items():
        args, text = [a.replace(word, place) for a in args], text.replace(word, place)
    done = tenon(*args, code=code)
    assert text in done.stderr and not done.stdout
    assert done.stderr.count("\n") < 15 and "Traceback" not in done.stderr


def test_run_reads_every_kind_of_file_and_writes_outputs(sums, tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "y.pb").write_bytes(numpy_helper.from_array(Y, "y").SerializeToString())
    np.savez(tmp_path / "both.npz", x=X, y=Y)
    folder = tmp_path / "set"
    folder.mkdir()
    for i, (name, v) in enumerate((("x", X), ("y", Y))):
        (folder / f"input_{i}.pb").write_bytes(numpy_helper.from_array(v, name).SerializeToString())
    for given in (["-i", f"x={tmp_path}/x.npy", "-i", f"y={tmp_path}/y.pb"], ["-i", tmp_path / "both.npz"], ["-i", folder]):
        done = tenon("run", sums, *given, "--output", tmp_path / "out.npz")
        assert "float32[2,3]" in done.stdout
        np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["sum"], X + Y)


def test_run_makes_inputs_of_the_size_that_is_asked(sums):
    assert "float32[5,3]" in tenon("run", sums, "--dim", "batch=5").stdout
    same = [tenon("run", sums, "--seed", 3).stdout for _ in range(2)]
    assert same[0] == same[1] != tenon("run", sums, "--seed", 4).stdout


@pytest.mark.parametrize("value", [
    np.asfortranarray(X), np.asfortranarray(np.arange(24).reshape(2, 3, 4)), np.arange(3) > 1, np.array(["a", "bé", ""]),
    np.zeros((2, 0), np.float16), np.array(7, np.uint16)])
def test_numpy_files_go_through_unchanged(tmp_path, value):
    types = {"f": "float", "l": "int64", "?": "bool", "U": "string", "e": "float16", "H": "uint16"}
    port = f"{types[value.dtype.char]}[{','.join(map(str, value.shape))}]"
    (tmp_path / "same.onnx").write_bytes(model(f"g ({port} x) => ({port} y) {{ y = Identity(x) }}"))
    np.save(tmp_path / "x.npy", value)
    tenon("run", tmp_path / "same.onnx", "-i", f"x={tmp_path}/x.npy", "-O", tmp_path / "out")
    out = np.load(tmp_path / "out/y.npy")
    assert out.shape == value.shape
    np.testing.assert_array_equal(np.char.decode(out, "utf-8") if out.dtype.char == "S" else out, value)


@pytest.mark.parametrize("damage,text", [
    (lambda b: b[:4], "not a numpy file"), (lambda b: b[:-1], "truncated"), (lambda b: b[:20], "truncated"),
    (lambda b: b.replace(b"<f4", b"<U9"), "truncated"), (lambda b: b.replace(b"<f4", b"<Uz"), "Uz"),
    (lambda b: b.replace(b"<f4", b"|O8"), "|O8"), (lambda b: b.replace(b"<f4", b">f4"), "big-endian"),
    (lambda b: b.replace(b"(2, 3)", b"(9, 9)"), "81 elements"), (lambda b: b.replace(b"shape", b"shade"), "'shape'")])
def test_damaged_numpy_files(sums, tmp_path, damage, text):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").write_bytes(damage((tmp_path / "x.npy").read_bytes()))
    assert text in tenon("run", sums, "-i", f"x={tmp_path}/x.npy", code=1).stderr


@pytest.mark.parametrize("value,text", [
    (X.astype(np.float64), "double"), (np.zeros((2, 4), np.float32), "3"), (np.zeros(3, np.float32), "rank")])
def test_run_refuses_values_that_do_not_fit(sums, tmp_path, value, text):
    np.save(tmp_path / "x.npy", value)
    done = tenon("run", sums, "-i", f"x={tmp_path}/x.npy", code=1)
    assert '"x"' in done.stderr and text in done.stderr


def test_bench(sums):
    rows = data("bench", sums, "-t", "1,2", "--seconds", 0.05, "--warmup", 0)
    assert [r["threads"] for r in rows] == [1, 2]
    for r in rows:
        assert 0 < r["min_ns"] <= r["p50_ns"] <= r["p90_ns"] <= r["p99_ns"]
        assert r["load_ns"] > 0 and r["first_run_ns"] > 0 and r["peak_bytes"] > 1e6
    assert "p50" in tenon("bench", sums, "--seconds", 0.02, "--warmup", 0).stdout


def test_inspect(sums):
    d = data("inspect", sums)
    assert [i["name"] for i in d["inputs"]] == ["x", "y"] and [o["name"] for o in d["outputs"]] == ["sum", "same"]
    assert d["ops"] == {"Add": 1, "Identity": 1} and d["opsets"] == {"": 22}
    assert "Add(x, y)" in data("inspect", sums, "--graph")["graph"]
    assert "float32[batch,3]" in tenon("inspect", sums).stdout


def test_explain_gives_placement_cost_and_refusals(sums, tmp_path):
    d = data("explain", sums)
    assert d["parts"][0]["provider"] == "cpu" and all(n["provider"] == "cpu" for n in d["nodes"])
    assert "part" in tenon("explain", sums).stdout
    nodes = tenon("explain", sums, "--nodes", "--plan").stdout
    assert "(no name)" in nodes and "Identity" in nodes and "arena" in nodes and "1 part " in nodes


@pytest.mark.skipif(not SECOND.exists(), reason="the test providers are built with the tree only")
def test_explain_lists_refusals_with_their_reasons(tmp_path):
    (tmp_path / "odd.onnx").write_bytes(model("g (double[2] x, double[2] y) => (double[2] z) { z = Mul(x, y) }"))
    given = [tmp_path / "odd.onnx", "--provider-path", SECOND, "-p", "second", "-p", "cpu"]
    (node,) = data("explain", *given)["nodes"]
    (refusal,) = node["refusals"]
    assert node["provider"] == "cpu" and refusal["provider"] == "second" and "only float32" in refusal["text"]
    table = tenon("explain", *given).stdout
    assert "not on" in table and "only float32, input 0" in table and "(no name)" in table


def test_profile_lists_steps_and_writes_a_trace(sums, tmp_path):
    d = data("profile", sums, "--runs", 3, "--trace", tmp_path / "trace.json")
    assert d["runs"] == 3 and d["ns_per_run"] > 0 and d["operators"] and d["steps"]
    assert sum(s["share"] for s in d["steps"]) == pytest.approx(1)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(events) >= 3 and all(e["ph"] == "X" and e["dur"] >= 0 for e in events)
    table = tenon("profile", sums, "--top", 1).stdout
    assert "operator" in table and "cpu" in table and "%" in table


@pytest.mark.skipif(not SECOND.exists(), reason="the test providers are built with the tree only")
def test_a_library_that_crashes_is_quarantined(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bad = SECOND.parent / "constructor_crashes"
    assert "quarantine" in tenon("providers", "hostile", "--provider-path", bad, code=5).stderr
    (row,) = [p for p in data("providers", "--provider-path", bad) if p["id"] == "hostile"]
    assert row["state"] == "quarantined" and "while loading" in row["reason"]
    assert "tried again" in tenon("providers", "--provider-path", bad, "--forget-quarantine", "hostile").stdout
    tenon("providers", "--provider-path", bad, "--forget-quarantine", "hostile", code=1)


def test_providers():
    (row,) = [p for p in data("providers") if p["id"] == "cpu"]
    assert row["state"] in ("ready", "loaded") and "CPUExecutionProvider" in row["aliases"] and row["path"].endswith("cpu.tenon.json")
    assert "cpu" in tenon("providers").stdout


def test_config(tmp_path):
    (tmp_path / "good.json").write_text('{"session": {"threads": 2}}')
    (tmp_path / "bad.json").write_text('{"session": {"treads": 2}}')
    tenon("config", "check", tmp_path / "good.json")
    assert "bad.json:1:14: error at /session/treads" in tenon("config", "check", tmp_path / "bad.json", code=4).stderr
    assert json.loads(tenon("config", "show", "-c", tmp_path / "good.json").stdout) == {"session": {"threads": 2}}
    origins = tenon("config", "show", "--origin", "-c", tmp_path / "good.json", "--set", "/session/optimize=basic").stdout
    assert "/session/threads = 2  (" in origins and "good.json:1)" in origins
    assert "/limits/rank = 64  (default)" in origins and "\n\n" not in origins
    assert not tenon("config", "show", "--origin").stdout.startswith(" ")
    assert "/session/threads" in tenon("config", "docs").stdout
    assert "session" in json.loads(tenon("config", "schema").stdout)["properties"]


def test_ctrl_c_ends_a_run(tmp_path):
    import signal
    import time
    (tmp_path / "forever.onnx").write_bytes(model(FOREVER))
    np.save(tmp_path / "limit.npy", np.int64(2**62))
    command = [TENON, "run", tmp_path / "forever.onnx", "-i", f"limit={tmp_path}/limit.npy"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    def waits_for_it():  # blocked, so that a thread of the command's own takes it
        blocked = re.search(r"SigBlk:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1)
        return int(blocked, 16) >> (signal.SIGINT - 1) & 1

    for _ in range(6000):
        if process.poll() is not None or waits_for_it():
            break
        time.sleep(0.01)
    time.sleep(0.1)  # on, into the run
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_models_as_onnx_writes_them(tmp_path):
    """A model with what exporters add: metadata, doc strings, value_info."""
    proto = onnx.load_from_string(model(SUMS, task="adding"))
    proto.producer_name, proto.doc_string = "somebody", "Adds."
    onnx.save(proto, tmp_path / "m.onnx")
    text = tenon("inspect", tmp_path / "m.onnx").stdout
    assert "somebody" in text and "adding" in text
