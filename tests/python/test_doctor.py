"""tenon doctor: providers that crash, hang, lie or lack a library are rows of its table, never its end."""
import json
import os
import shutil

import pytest
from test_cli import SECOND, data, tenon

WILD = SECOND.parent
pytestmark = pytest.mark.skipif(not (WILD / "wild_crash_in_create").exists(), reason="the test providers are built with the tree only")


@pytest.fixture(scope="module")
def cpu_manifest():
    return next(p["path"] for p in data("providers") if p["id"] == "cpu")


@pytest.fixture(autouse=True)
def only_the_cpu(cpu_manifest, monkeypatch, tmp_path):
    """Besides what a test adds: other devices of the machine may take long to begin."""
    monkeypatch.setenv("TENON_PROVIDER_PATH", cpu_manifest)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def doctor(*args, code=0):
    return json.loads(tenon("doctor", "--json", *args, code=code).stdout)


def row(report, id):
    return next(p for p in report["providers"] if p["id"] == id and p["state"] != "shadowed")


def wild(how, *args, code=5):
    config = ["--set", '/providers=[{"use": "wild"}, {"use": "cpu"}]']
    report = doctor("--provider-path", WILD / f"wild_{how}", *config, *args, code=code)
    assert row(report, "cpu")["state"] == "ok", "others are looked at all the same"
    return row(report, "wild"), report


def test_what_is_well():
    report = doctor()
    cpu = row(report, "cpu")
    assert report["schema"] == "tenon.doctor" and cpu["state"] == "ok" and cpu["required"]
    tests = cpu["devices"][0]["tests"]
    assert len(tests) == 6 and all(t["state"] == "ok" and t["ns"] > 0 for t in tests)
    machine = report["machine"]
    assert 1 <= machine["cpu"]["usable"] <= machine["cpu"]["affinity"] == len(os.sched_getaffinity(0))
    assert machine["memory"]["total_bytes"] > 1 << 28 and machine["library"].count("libtenon")
    text = tenon("doctor").stdout
    assert "cpu" in text and "MatMul" in text and "threads" in text


def test_a_crash_is_named_by_signal_and_stage():
    bad, report = wild("crash_in_create")
    assert bad["state"] == "crashed" and "SIGSEGV" in bad["text"] and "while loading" in bad["text"]
    assert any("wild" in p for p in report["problems"])
    bad, _ = wild("crash_in_kernel")
    assert bad["state"] == "crashed" and "Relu on device" in bad["text"]
    assert "--forget-quarantine wild" in bad["text"], "no session loads it before somebody says so"
    # One that nobody needs is a row and no failure; and nobody tries again what ended its process.
    wild_one = ["--provider-path", WILD / "wild_crash_in_create"]
    optional = ["--set", '/providers=[{"use": "wild", "required": false}, {"use": "cpu"}]']
    report = doctor(*wild_one, *optional)
    assert row(report, "wild")["state"] == "quarantined" and "SIGSEGV" in row(report, "wild")["text"]
    assert "tried again" in tenon("providers", *wild_one, "--forget-quarantine", "wild").stdout
    assert row(doctor(*wild_one, *optional), "wild")["state"] == "crashed"


def test_a_step_that_hangs_ends_at_the_limit():
    bad, _ = wild("hang_in_create", "--limit", 1.5)
    assert bad["state"] == "hung" and "still running after" in bad["text"]
    assert "silent for the last" in bad["text"] and "while loading" in bad["text"]


def test_wrong_numbers_are_found():
    bad, _ = wild("wrong_result")
    assert bad["state"] == "wrong" and "Relu" in bad["text"] and "off by" in bad["text"]
    states = {t["op"]: t["state"] for t in bad["devices"][0]["tests"]}
    assert states["Relu"] == "wrong" and states["MatMul"] == "refused"


def test_a_missing_library_is_named_with_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    bad, report = wild("lacking")
    lib, = bad["missing"]
    assert lib["library"] == "libtenon_test_absent.so.3" and lib["needed_by"].endswith("libtenon_provider_wild.so")
    assert f"LD_LIBRARY_PATH {tmp_path}" in lib["searched"] and any("ld.so.cache" in s for s in lib["searched"]) and any("/usr/lib" in s for s in lib["searched"])
    assert "apt-file search libtenon_test_absent.so.3" in lib["remedy"]
    assert bad["state"] == "failed" and "libtenon_test_absent.so.3" in bad["text"]
    monkeypatch.setenv("LD_LIBRARY_PATH", str(WILD.parent / "not_searched"))
    good, _ = wild("lacking", code=0)
    assert good["missing"] == [] and good["state"] == "ok"


def test_libraries_that_a_manifest_requires(tmp_path):
    (tmp_path / "gone.tenon.json").write_text(json.dumps({
        "manifest_version": 1, "id": "gone", "version": "1", "abi": {"major": 1, "target": 0}, "requires": {"libs": ["libOpenCL_not_here.so.9", "libcuda.so.77"]},
        "library": {f"linux-{os.uname().machine}": "libgone.so"}}))
    shutil.copy(WILD / "wild_wrong_result/libtenon_provider_wild.so", tmp_path / "libgone.so")
    report = doctor("--provider-path", tmp_path, "--set", '/providers=[{"use": "gone"}]', code=5)
    gone = row(report, "gone")
    assert gone["state"] == "unusable" and [m["library"] for m in gone["missing"]] == ["libOpenCL_not_here.so.9", "libcuda.so.77"]
    assert "NVIDIA" in gone["missing"][1]["remedy"]


def test_configuration_and_caches(tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (tmp_path / "c.json").write_text(json.dumps({"session": {"cache": str(folder), "threads": 1}}))
    report = doctor("-c", tmp_path / "c.json")
    assert any("/session/threads = 1" in line and "c.json" in line for line in report["configuration"]["set"])
    assert "others may write" in report["caches"]["session"]["state"] and any("chmod" in p for p in report["problems"])
    (tmp_path / "c.json").write_text('{"session": {"treads": 1}}')
    assert "treads" in doctor("-c", tmp_path / "c.json", code=4)["configuration"]["error"]
    missing = row(doctor("--set", '/providers=[{"use": "npu"}]', code=5), "npu")
    assert missing["state"] == "failed" and 'no provider "npu"' in missing["text"]
