"""Bundles: a model with its weights and what providers stored, from Python and from the command line."""
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tenonrt as rt

import networks

TENON = pathlib.Path(rt.__path__[0]) / "bin/tenon"
ARTIFACT = pathlib.Path(rt.__path__[0]).parent.parent / "test_providers/artifact"


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    path = tmp_path / "wide.onnx"
    path.write_bytes(networks.wide_network())
    return path


def output(path, **entries):
    options = rt.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(f"/session/{key}", value)
    session = rt.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {i.name: np.linspace(-1, 1, int(np.prod(i.shape)), dtype=np.float32).reshape(i.shape) for i in session.get_inputs()}
    return session.run(None, feeds), session


def taken(session):
    notes = json.loads(session.explain("json"))["notes"]
    return [n for n in notes if n.startswith("bundle")]


def tenon(*args, code=0):
    done = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def test_a_bundle_loads_like_its_model_and_packs_nothing(network, tmp_path):
    expected, _ = output(network)
    report = rt.compile_bundle(network, tmp_path / "m.tnb", providers=["CPUExecutionProvider"])
    network.unlink()
    packed = report["targets"][0]["packed"]
    assert packed >= 4 and report["usable"] and report["targets"][0]["made"][0]["threads"] >= 1
    found, session = output(tmp_path / "m.tnb")
    assert f"0 artifacts and {packed} packed weights were taken from it" in taken(session)[0] and "not in it" not in taken(session)[0]
    for a, b in zip(expected, found):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(expected, output((tmp_path / "m.tnb").read_bytes(), cache_check="content")[0]):
        np.testing.assert_array_equal(a, b)
    assert rt.describe_bundle(tmp_path / "m.tnb")["bytes"] == (tmp_path / "m.tnb").stat().st_size


def test_what_it_stores_is_used_only_where_it_is_allowed(network, tmp_path, monkeypatch):
    bundle = tmp_path / "m.tnb"
    rt.compile_bundle(network, bundle)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "stranger"))
    assert "--allow" in taken(output(bundle)[1])[0]
    assert not rt.describe_bundle(bundle)["usable"]
    with pytest.raises(rt.Error, match="not added to"):
        rt.compile_bundle(bundle, tmp_path / "n.tnb", add=True)
    rt.allow_bundle(bundle)
    assert "taken from it" in taken(output(bundle)[1])[0]
    assert "none" in taken(output(bundle, bundle="none")[1])[0]


def test_a_smaller_one_without_packed_weights(network, tmp_path):
    assert rt.compile_bundle(network, tmp_path / "m.tnb", packed=False)["targets"] == []
    assert "it stores" not in str(taken(output(tmp_path / "m.tnb")[1]))


def test_damaged_and_cut_ones_say_so(network, tmp_path):
    rt.compile_bundle(network, tmp_path / "m.tnb")
    good = (tmp_path / "m.tnb").read_bytes()
    for bad, text in ((good[:-3], "are expected, the file has"), (good[:100], "cut short"), (good[:-3] + b"xxx", "index is damaged")):
        (tmp_path / "bad.tnb").write_bytes(bad)
        with pytest.raises(rt.Error, match=text) as failure:
            rt.InferenceSession(tmp_path / "bad.tnb")
        assert "bad.tnb" in str(failure.value) and "tenon compile" in str(failure.value)


def test_command_line(network, tmp_path):
    bundle = tmp_path / "m.tnb"
    artifact = ["-p", "artifact", "--provider-path", ARTIFACT]
    assert "packed weights" in tenon("compile", network, "-o", bundle, "-p", "cpu").stdout
    for command in (["run"], ["explain"], ["inspect"], ["bench", "--runs", "1", "--warmup", "0"]):
        tenon(command[0], bundle, *command[1:], "-p", "cpu")
    added = json.loads(tenon("compile", bundle, "--add", *artifact, "--json").stdout)
    assert {t["provider"]: t["added"] > 0 for t in added["targets"]} == {"cpu": False, "artifact": True}
    text = tenon("compile", bundle, "--show").stdout
    assert "artifact" in text and "cpu" in text and str(bundle) in text
    explained = json.loads(tenon("explain", bundle, *artifact, "--json").stdout)["notes"]
    assert any("provider artifact" in n and "not in it" not in n for n in explained), explained
    shutil.copy(bundle, tmp_path / "copy.tnb")
    tenon("compile", tmp_path / "copy.tnb", "--allow")
    tenon("compile", network, code=2)
    tenon("compile", bundle, "--add", "--show", code=2)
    assert "is a bundle already" in tenon("compile", bundle, "-o", bundle, code=3).stderr
    assert "no bundle" in tenon("compile", network, "--show", code=1).stderr
