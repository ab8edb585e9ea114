"""Every key of the configuration has an effect, and each is shown here."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import tenonrt as rt
import networks
from conftest import FOREVER, model
from onnx import TensorProto, helper

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TENON = ROOT / "build/release/bin/tenon"
PROVIDERS = ROOT / "build/release/test_providers"
CHAIN = model("g (float[n] x) => (float[n] y) { a = Relu(x) b = Neg(a) y = Exp(b) }", opset=18)
shown = set()


def session(monkeypatch, tmp_path, config, data=CHAIN, **more):
    def keys(value, at=""):
        if at:
            shown.add(at)
        for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            if at.endswith("/options"):
                continue
            star = isinstance(value, list) or at in ("/shapes", "/log", "/session/state")
            keys(v, f"{at}/{'*' if star else k}")
    keys(config)
    path = tmp_path / "tenon.json"
    path.write_text(json.dumps(config))
    monkeypatch.setenv("TENON_CONFIG", str(path))
    return rt.InferenceSession(data, **more)


def providers_of(s):
    return {n["op_type"]: n["provider"] for n in s.explain("dict")["nodes"]}


SECOND = {"use": "second"}
CPU = {"use": "cpu"}
PATHS = [str(PROVIDERS / "second")]


def test_providers_and_paths(monkeypatch, tmp_path):
    s = session(monkeypatch, tmp_path, {"schema": 1, "providers": [{**SECOND, "device": 0}, CPU], "provider_paths": PATHS})
    assert s.get_providers()[0] == "second"
    with pytest.raises(Exception, match="device"):
        session(monkeypatch, tmp_path, {"providers": [{**SECOND, "device": 7}], "provider_paths": PATHS})
    with pytest.raises(Exception, match="second"):
        session(monkeypatch, tmp_path, {"providers": [SECOND]})
    s = session(monkeypatch, tmp_path, {"providers": [{**SECOND, "required": False}, CPU]})
    assert s.get_providers() == ["CPUExecutionProvider"] or s.get_providers() == ["cpu"]


def test_inputs_say_where_they_are_wanted(monkeypatch, tmp_path):
    s = session(monkeypatch, tmp_path, {"providers": [SECOND], "provider_paths": PATHS},
                model("g (float[2] x, float[2] u) => (float[2] y, float[2] z) { y = Relu(x)\n z = Sin(u) }", opset=18))
    assert [(a.name, a.memory, a.dlpack_device) for a in s.get_inputs()] == [("x", "second:memory", None), ("u", "host", (1, 0))]
    assert [(a.name, a.memory) for a in s.get_outputs()] == [("y", "second:memory"), ("z", "host")]


def test_provider_options(monkeypatch, tmp_path):
    with pytest.raises(Exception, match="plain"):
        session(monkeypatch, tmp_path, {"providers": [{**CPU, "options": {"plane": True}}]})
    assert session(monkeypatch, tmp_path, {"providers": [{**CPU, "options": {"plain": True}}]})


def test_placement(monkeypatch, tmp_path):
    both = {"providers": [SECOND, CPU], "provider_paths": PATHS}
    rules = [{"match": {"op": "Neg"}, "use": "cpu"}, {"match": {"name": "*", "domain": "ai.onnx"}, "deny": ["cpu"]}]
    s = session(monkeypatch, tmp_path, {**both, "placement": {"policy": "cost", "rules": rules}})
    assert providers_of(s) == {"Relu": "second", "Neg": "cpu", "Exp": "second"}
    data = model("g (float[n] x) => (float[n] y) { y = Sqrt(x) }")
    with pytest.raises(Exception, match="Sqrt"):
        session(monkeypatch, tmp_path, {"providers": [SECOND], "provider_paths": PATHS, "placement": {"on_unsupported": "error"}}, data)
    s = session(monkeypatch, tmp_path, {"providers": [SECOND], "provider_paths": PATHS, "placement": {"on_unsupported": "next"}}, data)
    assert s.run(None, {"x": np.array([4], np.float32)})[0].tolist() == [2]


def test_session(monkeypatch, tmp_path):
    data = model("g (float[n] x) => (float[n] y) { a = Identity(x) b = Identity(a) y = Relu(b) }")
    assert len(session(monkeypatch, tmp_path, {"session": {"optimize": "none"}}, data).explain("dict")["nodes"]) == 3
    assert len(session(monkeypatch, tmp_path, {"session": {"optimize": "all"}}, data).explain("dict")["nodes"]) == 1
    assert session(monkeypatch, tmp_path, {"session": {"threads": 1, "deterministic": True, "precision": "highest"}}, data)
    with pytest.raises(Exception, match="precision"):
        session(monkeypatch, tmp_path, {"session": {"precision": "sloppy"}}, data)


def test_cache(monkeypatch, tmp_path):
    data = networks.wide_network()
    folder = tmp_path / "packed"
    assert session(monkeypatch, tmp_path, {"session": {"cache": str(folder), "cache_size": "1GiB", "cache_check": "content"}}, data)
    assert list(folder.iterdir())
    small = tmp_path / "small"
    assert session(monkeypatch, tmp_path, {"session": {"cache": str(small), "cache_size": "100KiB"}}, data)
    assert sum(f.stat().st_size for f in small.iterdir()) <= 100 * 1024
    path, bundle = tmp_path / "wide.onnx", tmp_path / "wide.tnb"
    path.write_bytes(data)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    rt.compile_bundle(path, bundle, providers=["cpu"])
    for use, said in (("allowed", "taken from it"), ("none", "is not used"), ("any", "taken from it")):
        assert said in str(session(monkeypatch, tmp_path, {"session": {"bundle": use}}, str(bundle)).explain("dict")["notes"])
    with pytest.raises(Exception, match="cache_check"):
        session(monkeypatch, tmp_path, {"session": {"cache": str(folder), "cache_check": "nothing"}}, data)


def test_shapes(monkeypatch, tmp_path):
    data = model("g (float[batch, 64] x) => (float[batch, 64] y) { y = Exp(x) }")
    cost = lambda opt: session(monkeypatch, tmp_path, {"shapes": {"batch": {"min": 1, "opt": opt, "max": 4096}}}, data, providers=["cpu"]).explain("dict")["nodes"][0]["cost_ns"]
    assert cost(4096) > 10 * cost(1)


def test_measured_costs(monkeypatch, tmp_path):
    (tmp_path / "m.onnx").write_bytes(CHAIN)
    costs = str(tmp_path / "costs")
    subprocess.run([TENON, "tune", tmp_path / "m.onnx", "-p", "cpu", "--runs", "3", "--set", f"/placement/costs={costs}"], capture_output=True, check=True)
    for folder, measured in ((costs, True), ("", False)):
        s = session(monkeypatch, tmp_path, {"placement": {"costs": folder}}, providers=["cpu"])
        assert {n.measured for n in s.placement()} == {measured}


@pytest.mark.parametrize("grow, plans", [(False, 3), (True, 1)])
def test_growing_shapes(monkeypatch, tmp_path, capfd, grow, plans):
    data = model("g (float[past] x) => (float[past] y) { y = Exp(x) }")
    s = session(monkeypatch, tmp_path, {"shapes": {"past": {"grow": grow}}, "log": {"default": "off", "plan": "debug"}}, data)
    for n in (3, 5, 6):
        assert s.run(None, {"x": np.zeros(n, np.float32)})[0].tolist() == [1] * n
    assert capfd.readouterr().err.count("plan ") == plans


def test_limits_of_providers_that_hang(monkeypatch, tmp_path):
    folder = tmp_path / "hang_in_compile"  # its way of being wrong
    shutil.copytree(PROVIDERS / folder.name, folder)
    hostile = {"providers": [{"use": "hostile"}], "provider_paths": [str(folder)], "trust": {"probe": "never"}}
    try:
        with pytest.raises(Exception, match="compile of part 0: .* has not returned .* /limits/call is over"):
            session(monkeypatch, tmp_path, {"limits": {"call": "100ms", "late": "0s"}, **hostile})
        with pytest.raises(Exception, match="the device is set aside"):
            session(monkeypatch, tmp_path, hostile)
    finally:
        (folder / "return").touch()  # lets it go on


def test_limits(monkeypatch, tmp_path):
    big = model("g (float[n] x, int64[1] s) => (float[m] y) { y = Expand(x, s) }")
    s = session(monkeypatch, tmp_path, {"limits": {"memory": "1MiB"}}, big)
    with pytest.raises(Exception, match="limits.memory"):
        s.run(None, {"x": np.zeros(1, np.float32), "s": np.array([1 << 20])})
    with pytest.raises(Exception, match="limits.model"):
        session(monkeypatch, tmp_path, {"limits": {"model": 16}})
    with pytest.raises(Exception, match="limits.nodes"):
        session(monkeypatch, tmp_path, {"limits": {"nodes": 2}})
    with pytest.raises(Exception, match="limits.rank"):
        session(monkeypatch, tmp_path, {"limits": {"rank": 1}}, model("g (float[1,1] x) => (float[1,1] y) { y = Relu(x) }"))
    with pytest.raises(Exception, match="limits.nesting"):
        session(monkeypatch, tmp_path, {"limits": {"nesting": 1}}, nested())
    with pytest.raises(Exception, match="limits.load"):
        session(monkeypatch, tmp_path, {"limits": {"load": "1ns"}})
    s = session(monkeypatch, tmp_path, {"limits": {"run": "20ms"}}, model(FOREVER))
    with pytest.raises(Exception, match="time limit"):
        s.run(None, {"limit": np.array(2**62), "x": np.ones(1, np.float32)})


def nested():
    def leaf(name):
        return helper.make_graph([helper.make_node("Identity", ["x"], [name])], "leaf", [], [helper.make_tensor_value_info(name, 1, ["n"])])
    graph = leaf("y0")
    for i in range(1, 4):
        graph = helper.make_graph([helper.make_node("If", ["c"], [f"y{i}"], then_branch=graph, else_branch=leaf(f"e{i}"))], "g", [],
                                  [helper.make_tensor_value_info(f"y{i}", 1, ["n"])])
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=leaf("e"))]
    g = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, ["n"]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
                          [helper.make_tensor_value_info("y", 1, ["n"])])
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def test_log(tmp_path):
    (tmp_path / "m.onnx").write_bytes(CHAIN)
    texts = {}
    for level in ("off", "debug"):
        path = tmp_path / f"{level}.json"
        path.write_text(json.dumps({"log": {"default": level, "plan": level}}))
        done = subprocess.run([TENON, "run", tmp_path / "m.onnx", "-c", path], capture_output=True, text=True, check=True)
        texts[level] = done.stderr
    shown.update({"/log", "/log/*"})
    assert "plan:" in texts["debug"] and "plan:" not in texts["off"]


def test_state(monkeypatch, tmp_path):
    cache = model("g (float[1,2,P,4] past_k, float[1,2,S,4] x) => (float[1,2,T,4] k) { k = Concat<axis = 2>(past_k, x) }")
    s = session(monkeypatch, tmp_path, {"session": {"state": {"past_*": "*"}, "state_capacity": 40}}, cache)
    assert s.run(None, {"x": np.zeros((1, 2, 3, 4), np.float32)}) == []
    assert (s.state.rows, s.state.capacity) == (3, 40)


def test_trust(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    library = PROVIDERS / "second/libtenon_provider_second.so"
    pinned = {**SECOND, "sha256": hashlib.sha256(library.read_bytes()).hexdigest()}
    # Pins are looked at when a library is loaded, and a loaded one may still be in use: a copy is another library.
    for name, entry, wrong in (("a", SECOND, "require_pinned"), ("b", {**SECOND, "sha256": "0" * 64}, "SHA-256"), ("c", pinned, None)):
        shutil.copytree(PROVIDERS / "second", tmp_path / name)
        config = {"providers": [entry, CPU], "provider_paths": [str(tmp_path / name)], "trust": {"require_pinned": True}}
        if wrong:
            with pytest.raises(Exception, match=wrong):
                session(monkeypatch, tmp_path, config)
        else:
            assert session(monkeypatch, tmp_path, config).get_providers()[0] == "second"
    hangs = {"providers": [{"use": "hostile"}, CPU], "provider_paths": [str(PROVIDERS / "constructor_hangs")], "trust": {"probe": "first_load", "probe_limit": "300ms"}}
    with pytest.raises(Exception, match="quarantine"):
        session(monkeypatch, tmp_path, hangs)
    untried = {"providers": [SECOND, CPU], "provider_paths": PATHS, "trust": {"probe": "never"}}
    assert session(monkeypatch, tmp_path, untried).get_providers()[0] == "second"


def test_isolate(monkeypatch, tmp_path):
    entry = {**SECOND, "isolate": "process", "isolate_limit": "20s"}
    s = session(monkeypatch, tmp_path, {"providers": [entry, CPU], "provider_paths": PATHS})
    assert "(isolated)" in s.explain()
    with pytest.raises(Exception, match="isolate"):
        session(monkeypatch, tmp_path, {"providers": [{**SECOND, "isolate": "thread"}], "provider_paths": PATHS})


def test_a_lost_device_is_replaced(monkeypatch, tmp_path):
    config = {"providers": [{"use": "async", "device": 0}], "provider_paths": [str(PROVIDERS / "async")], "placement": {"on_device_lost": "replace"}}
    script = """if True:
        import os, sys
        import numpy as np, tenonrt as rt
        os.environ["TENON_CONFIG"] = sys.argv[1]
        s = rt.InferenceSession(open(sys.argv[2], "rb").read())
        os.environ["TENON_TEST_ASYNC_LOST"], os.environ["TENON_TEST_ASYNC_FAIL"] = "1", "3"
        y, = s.run(None, {"x": np.float32([1])})
        assert abs(y[0] - np.exp(np.float32(-1))) < 1e-6, y
        assert {n.provider for n in s.placement()} == {"cpu"}, s.placement()
    """
    session(monkeypatch, tmp_path, config)
    (tmp_path / "model.onnx").write_bytes(CHAIN)
    subprocess.run([sys.executable, "-c", script, tmp_path / "tenon.json", tmp_path / "model.onnx"], check=True, timeout=60)


def test_every_key_is_shown_above():
    docs = subprocess.run([TENON, "config", "docs"], capture_output=True, text=True, check=True).stdout
    keys = {line.split("`")[1] for line in docs.splitlines() if line.startswith("| `")}
    assert keys - shown - {"/$schema"} == set()
    assert onnx.__version__


def test_documents_are_up_to_date():
    subprocess.run([ROOT / "scripts/config_docs", "--check"], check=True)
