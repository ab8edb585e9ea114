"""Providers by strangers: a project from the template and one made of Eigen, built against an installation alone, through the
conformance kit, into an archive and a wheel, and into a network that they take part in."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import pytest
import tenonrt as rt

import networks
from conftest import root

BUILD = pathlib.Path(os.path.realpath(rt.__path__[0])).parent.parent
pytestmark = pytest.mark.skipif(not (BUILD / "cmake_install.cmake").exists(), reason="tenonrt does not come from a build tree")


def call(*command, code=0, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation in a folder of its own; nothing of the source tree is used from here on."""
    folder = tmp_path_factory.mktemp("prefix")
    call("cmake", "--install", BUILD, "--prefix", folder)
    return folder


def build(source, folder, prefix):
    call("cmake", "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    call("cmake", "--build", folder, "-j2")
    return next((folder / "providers").glob("*/*.tenon.json"))


@pytest.fixture(scope="module")
def acme(prefix, tmp_path_factory):
    project = tmp_path_factory.mktemp("new") / "zenith"
    started = time.monotonic()
    call(prefix / "bin/tenon", "plugin", "new", "zenith", "--dir", project)
    manifest = build(project, project / "build", prefix)
    assert time.monotonic() - started < 300
    return manifest


@pytest.fixture(scope="module")
def eigen(prefix, tmp_path_factory):
    if not pathlib.Path("/usr/include/eigen3").exists():
        pytest.skip("libeigen3-dev is not installed")
    source = tmp_path_factory.mktemp("eigen") / "source"
    shutil.copytree(root / "tests/out_of_tree/eigen", source)
    return build(source, source.parent / "build", prefix)


def kit(prefix, manifest, *more, code=0):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "kit.json"
        call(prefix / "bin/tenon", "plugin", "test", manifest, "-j2", "--json", report, *more, code=code)
        return json.loads(report.read_text())


def passed(report, suite=None):
    return {c["suite"] + "/" + c["name"] for c in report["cases"] if c["verdict"] == "passed" and suite in (None, c["suite"])}


def save(network, folder):
    """Its model, and its feeds beside it as .npz."""
    made, feeds = networks.NETWORKS[network](21)
    (folder / f"{network}.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    np.savez(folder / f"{network}.npz", **feeds)
    return folder / f"{network}.onnx"


def takes_part(prefix, manifest, provider, network, folder):
    """Runs a network with the provider and without it; how many of its nodes the provider ran."""
    file = save(network, folder)
    for arguments in (["-p", provider, "--provider-path", manifest.parent], ["-p", "cpu"]):
        out = folder / f"{network}_{arguments[1]}.npz"
        call(prefix / "bin/tenon", "run", file, *arguments, "-i", file.with_suffix(".npz"), "-O", out)
    ours, theirs = (np.load(folder / f"{network}_{name}.npz") for name in (provider, "cpu"))
    assert ours.files and ours.files == theirs.files
    for name in ours.files:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    text = call(prefix / "bin/tenon", "explain", file, "-p", provider, "--provider-path", manifest.parent, "--format", "json")
    return sum(node["provider"] == provider for node in json.loads(text)["nodes"])


def test_a_new_project_passes_the_kit_and_takes_part(prefix, acme, tmp_path):
    report = kit(prefix, acme, "--html", tmp_path / "kit.html")
    assert report["passed"] and report["provider"]["id"] == "zenith" and report["devices"]
    assert {"operators/MatMul/float32", "operators/Relu/float32", "shapes/no_rows", "concurrency/worker_counts"} <= passed(report)
    assert any(c["name"] == "Softmax/float32" and c["verdict"] == "not claimed" and "no kernel" in c["text"] for c in report["cases"])
    page = (tmp_path / "kit.html").read_text()
    assert page.startswith("<!doctype html>") and "zenith" in page and "http" not in page
    assert takes_part(prefix, acme, "zenith", "cnn", tmp_path) > 0


def test_a_new_project_names_only_itself(acme):
    project = acme.parent.parent.parent.parent
    files = [f for f in project.rglob("*") if f.is_file() and project / "build" not in f.parents]
    assert {"CMakeLists.txt", "provider.cpp", "README.md", "kit.skip", "zenith.tenon.json.in", "ci.yml"} == {f.name for f in files}
    for file in files:
        assert "acme" not in file.read_text().lower(), file


def test_a_provider_made_of_eigen(prefix, eigen, tmp_path):
    report = kit(prefix, eigen)
    assert report["passed"]
    assert {f"operators/{op}/float32" for op in ("MatMul", "Gemm", "Conv")} <= passed(report)
    assert takes_part(prefix, eigen, "eigen", "cnn", tmp_path) > 0
    assert takes_part(prefix, eigen, "eigen", "transformer", tmp_path) > 0


def test_nothing_is_overwritten(prefix, tmp_path):
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run([prefix / "bin/tenon", "plugin", "new", "other", "--dir", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "there already" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    for name in ("", "Acme", "1st", "a-b", "../x"):
        assert subprocess.run([prefix / "bin/tenon", "plugin", "new", name], capture_output=True, cwd=tmp_path).returncode == 2


@pytest.fixture(scope="module")
def broken(prefix, tmp_path_factory):
    """The template with a crash, a hang and a wrong result in it."""
    project = tmp_path_factory.mktemp("new") / "broken"
    call(prefix / "bin/tenon", "plugin", "new", "broken", "--dir", project)
    source = project / "provider.cpp"
    text = source.read_text()
    for before, after in [
        ('unary("Neg", [](float x) { return -x; })', 'unary("Neg", [](float x) { *static_cast<volatile int*>(nullptr) = 1; return -x; })'),
        ('unary("Exp", [](float x) { return std::exp(x); })', 'unary("Exp", [](float x) { for (volatile bool stay = true; stay;) {} return x; })'),
        ('unary("Abs", [](float x) { return std::fabs(x); })', 'unary("Abs", [](float x) { return x == 2 ? 2.5f : std::fabs(x); })'),
    ]:
        assert before in text
        text = text.replace(before, after)
    source.write_text(text)
    return build(project, project / "build", prefix)


FIVE = ["--filter", "operators/[NERA][exebd][gplsd]*/float32"]  # Neg, Exp, Relu, Abs, Add and others


def test_the_kit_accounts_for_crashes_hangs_and_wrong_results(prefix, broken):
    report = kit(prefix, broken, *FIVE, "--seconds", "3", code=5)
    cases = {c["name"].partition("/")[0]: c for c in report["cases"]}
    assert cases["Neg"]["verdict"] == "crashed" and "SEGV" in cases["Neg"]["text"]
    assert cases["Exp"]["verdict"] == "timed out" and "3 s" in cases["Exp"]["text"]
    assert cases["Abs"]["verdict"] == "failed" and "expected" in cases["Abs"]["text"] and "seed" in cases["Abs"]["text"]
    assert cases["Add"]["verdict"] == cases["Relu"]["verdict"] == "passed"
    assert not report["passed"] and report["counts"]["crashed"] == 1


def test_skips_need_reasons_and_go_stale(prefix, broken, tmp_path):
    skip = tmp_path / "kit.skip"
    skip.write_text("# known\noperators/Neg/*  it crashes, see its tracker\noperators/Exp/* it hangs\noperators/Abs/float32 two is a half more\n")
    report = kit(prefix, broken, *FIVE, "--seconds", "3", "--skip", skip)
    assert report["counts"]["skipped"] == 3 and report["passed"]
    assert next(c for c in report["cases"] if c["name"] == "Neg/float32")["skip_reason"] == "it crashes, see its tracker"
    skip.write_text("operators/Add/float32  was wrong once\n")
    report = kit(prefix, broken, "--filter", "operators/Add/float32", "--skip", skip, code=5)
    assert report["counts"]["passes though skipped"] == 1
    skip.write_text("operators/Neg/*\n")
    done = subprocess.run([prefix / "bin/tenon", "plugin", "test", broken, "--skip", skip], capture_output=True, text=True)
    assert done.returncode == 2 and "without a reason" in done.stderr and ":1:" in done.stderr


def test_names_that_are_not_there(prefix, tmp_path):
    for arguments in (["nobody"], [tmp_path], ["cpu", "--suite", "music"], ["cpu", "--filter", "operators/Nothing"]):
        assert subprocess.run([prefix / "bin/tenon", "plugin", "test", *arguments], capture_output=True).returncode == 2
    names = call(prefix / "bin/tenon", "plugin", "test", "--list").split()
    assert {name.partition("/")[0] for name in names} == {"abi", "lifecycle", "memory", "streams", "query", "operators", "shapes",
                                                          "concurrency", "artifacts", "faults", "costs"}


def test_without_a_device_the_library_alone_is_tested(prefix):
    report = kit_of_test_provider(prefix, "no_devices", "--filter", "*[!d]")
    assert "no device" in report["problem"] and report["counts"]["no device"] > 100
    assert {c["suite"] for c in report["cases"] if c["verdict"] == "passed"} == {"abi"}
    kit_of_test_provider(prefix, "no_devices", "--filter", "abi/description", "--require-device", code=5)


def kit_of_test_provider(prefix, folder, *more, code=0):
    manifest = BUILD / f"test_providers/{folder}/hostile.tenon.json"
    if not manifest.exists():
        pytest.skip("the providers for tests are not built")
    return kit(prefix, manifest, *more, code=code)


@pytest.mark.parametrize("folder,case,text", [
    ("silent_query", "query/every_node_answered", "neither a claim nor a refusal"),
    ("missing_function", "abi/functions", "execute"),
    ("wrong_sanitizer", "abi/description", "sanitizer"),
    ("throw_in_kernel", "operators/Relu/float32", "boom in a kernel"),
    ("wrong_id", "abi/manifest", "somebody_else"),
])
def test_wrong_providers_fail_the_case_that_is_meant_for_them(prefix, folder, case, text):
    report = kit_of_test_provider(prefix, folder, "--filter", case, code=5)
    (found,) = [c for c in report["cases"] if c["suite"] + "/" + c["name"] == case]
    assert found["verdict"] == "failed" and text in found["text"]


def test_the_cpu_provider_passes_without_skips(prefix):
    report = kit(prefix, prefix / "lib/tenon/providers/cpu.tenon.json")
    assert report["passed"] and len(passed(report, "operators")) > 700


@pytest.mark.parametrize("selection", [
    ["--suite", "abi,lifecycle,memory,streams,query,faults"],
    ["--filter", "operators/[CMS][oa][nft][vtM]*/float32"],  # Conv, MatMul, Softmax and their like
    pytest.param(["--suite", "operators,shapes,concurrency,artifacts,costs"], marks=pytest.mark.slow),  # minutes of kernels to compile
])
def test_the_opencl_provider_passes(prefix, selection):
    report = kit(prefix, prefix / "lib/tenon/providers/opencl.tenon.json", *selection)
    if report["problem"]:
        pytest.skip(report["problem"])
    assert report["passed"] and len(passed(report)) > 3


@pytest.mark.parametrize("id,suites", [("second", ["memory", "shapes"]), ("async", ["memory", "streams"])])
def test_devices_with_memory_and_streams_pass(prefix, id, suites):
    manifest = BUILD / f"test_providers/{id}/{id}.tenon.json"
    if not manifest.exists():
        pytest.skip("the providers for tests are not built")
    report = kit(prefix, manifest, "--suite", ",".join(["abi", "lifecycle", "query", "faults", *suites]))
    assert report["passed"]
    for suite in suites:
        assert passed(report, suite)
    assert "memory/buffers_and_copies" in passed(report)


def test_artifacts_must_be_looked_at(prefix):
    manifests = [BUILD / f"test_providers/{id}/{id}.tenon.json" for id in ("storing", "trusting")]
    if not all(m.exists() for m in manifests):
        pytest.skip("the providers for tests are not built")
    good = kit(prefix, manifests[0], "--suite", "artifacts")
    assert {"artifacts/kept_and_taken", "artifacts/damaged"} <= passed(good)
    bad = kit(prefix, manifests[1], "--suite", "artifacts", code=5)
    assert passed(bad) == {"artifacts/kept_and_taken"}
    assert "from damaged artifacts" in next(c["text"] for c in bad["cases"] if c["name"] == "damaged")


def test_operators_of_its_own(prefix):
    manifest = BUILD / "test_providers/custom/custom.tenon.json"
    if not manifest.exists():
        pytest.skip("the providers for tests are not built")
    report = kit(prefix, manifest, "--suite", "query,abi,lifecycle")
    assert report["passed"] and "query/own_operators" in passed(report)


def test_packed_providers_are_found(prefix, acme, tmp_path):
    made = call(prefix / "bin/tenon", "plugin", "pack", acme, "--out", tmp_path, "--with", __file__).strip()
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["zenith/libtenon_provider_zenith.so", "zenith/test_plugin.py", "zenith/zenith.tenon.json"]
        archive.extractall(tmp_path / "unpacked")
    text = call(prefix / "bin/tenon", "providers", "zenith", "--provider-path", tmp_path / "unpacked")
    assert "zenith" in text
    library = tmp_path / "unpacked/zenith/libtenon_provider_zenith.so"
    library.write_bytes(library.read_bytes() + b"x")
    done = subprocess.run([prefix / "bin/tenon", "providers", "zenith", "--provider-path", tmp_path / "unpacked"], capture_output=True, text=True)
    assert done.returncode == 5 and "SHA-256" in done.stderr


def test_a_wheel_is_found_through_its_entry_point(prefix, acme, tmp_path):
    wheel = call(prefix / "bin/tenon", "plugin", "pack", acme, "--wheel", "--out", tmp_path).strip()
    site = tmp_path / "site"
    call(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel)
    save("cnn", tmp_path)
    code = (
        "import json, sys, time; began = time.perf_counter(); import tenonrt as rt; seconds = time.perf_counter() - began\n"
        "session = rt.InferenceSession('cnn.onnx', providers=['zenith', 'cpu'])\n"
        "ours = sum(node.provider == 'zenith' for node in session.placement())\n"
        "print(json.dumps([ours, seconds, 'tenon_provider_zenith' in sys.modules, rt.get_all_providers()]))\n"
    )
    package = pathlib.Path(rt.__path__[0]).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(package)])}
    ours, seconds, imported, known = json.loads(call(sys.executable, "-c", code, cwd=tmp_path, env=environment))
    assert ours > 0 and "zenith" in known and not imported
    assert seconds < 0.5  # 50 ms on an idle machine
    assert "zenith" in call(sys.executable, "-m", "tenonrt", "providers", cwd=tmp_path, env=environment)
