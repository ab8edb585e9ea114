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
import onnx
import pytest
import tenonrt as rt

import networks
from conftest import root

BUILD = pathlib.Path(os.path.realpath(rt.__path__[0])).parent.parent
pytestmark = pytest.mark.skipif(not (BUILD / "cmake_install.cmake").exists(), reason="tenonrt does not come from a build tree")


def call(*command, code=0, timeout=280, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, **options)
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


WALK = {}  # seconds of each step from nothing to a network that runs


class step:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, *_):
        WALK[self.name] = time.monotonic() - self.began


@pytest.fixture(scope="module")
def acme(prefix, tmp_path_factory):
    project = tmp_path_factory.mktemp("new") / "zenith"
    with step("tenon plugin new"):
        call(prefix / "bin/tenon", "plugin", "new", "zenith", "--dir", project)
    with step("build"):
        return build(project, project / "build", prefix)


@pytest.fixture(scope="module")
def eigen(prefix, tmp_path_factory):
    if not pathlib.Path("/usr/include/eigen3").exists():
        pytest.skip("libeigen3-dev is not installed")
    source = tmp_path_factory.mktemp("eigen") / "source"
    shutil.copytree(root / "tests/out_of_tree/eigen", source)
    return build(source, source.parent / "build", prefix)


def kit(prefix, manifest, *more, code=0, timeout=280):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "kit.json"
        call(prefix / "bin/tenon", "plugin", "test", manifest, "-j2", "--json", report, *more, code=code, timeout=timeout)
        return json.loads(report.read_text())


def passed(report, suite=None):
    return {c["suite"] + "/" + c["name"] for c in report["cases"] if c["verdict"] == "passed" and suite in (None, c["suite"])}


def save(network, folder):
    """Its model, and its feeds beside it as .npz."""
    made, feeds = networks.NETWORKS[network](21)
    (folder / f"{network}.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    np.savez(folder / f"{network}.npz", **feeds)
    return folder / f"{network}.onnx"


def exported(name, folder):
    """One of the networks that onnx carries, with weights that it computes; its feeds beside it as .npz."""
    light = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"
    network = onnx.load(light / f"light_{name}.onnx")
    given = {i.name for i in network.graph.initializer}
    feeds = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in network.graph.input if i.name not in given}
    np.savez(folder / f"{name}.npz", **{n: (np.arange(np.prod(s)).reshape(s) / np.prod(s)).astype(np.float32) for n, s in feeds.items()})
    onnx.save(network, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def takes_part(prefix, manifest, provider, network, folder):
    """Runs a network with the provider and without it; how many of its nodes the provider ran."""
    file = network if isinstance(network, pathlib.Path) else save(network, folder)
    network = file.stem
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
    with step("tenon plugin test"):
        report = kit(prefix, acme, "--html", tmp_path / "kit.html")
    assert report["passed"] and report["provider"]["id"] == "zenith" and report["devices"]
    assert {"operators/onnx/test_relu", "operators/onnx/test_matmul_2d", "faults/any_call_fails"} <= passed(report)
    assert {"operators/MatMul/float32", "operators/Relu/float32", "shapes/no_rows", "concurrency/worker_counts"} <= passed(report)
    assert any(c["name"] == "Softmax/float32" and c["verdict"] == "not claimed" and "no kernel" in c["text"] for c in report["cases"])
    page = (tmp_path / "kit.html").read_text()
    assert page.startswith("<!doctype html>") and "zenith" in page and "http" not in page
    assert "It passes" in page and report["machine"]["cpu"]["model"] in page and str(acme) in page
    with step("tenon run"):
        assert takes_part(prefix, acme, "zenith", "cnn", tmp_path) > 0
    with step("tenon run, squeezenet"):
        assert takes_part(prefix, acme, "zenith", exported("squeezenet", tmp_path), tmp_path) > 0
    print("\n".join(f"{name:<24}{seconds:6.1f} s" for name, seconds in WALK.items()))
    assert sum(WALK.values()) < 300


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
    """The template with a crash, a hang and two wrong results in it."""
    project = tmp_path_factory.mktemp("new") / "broken"
    call(prefix / "bin/tenon", "plugin", "new", "broken", "--dir", project)
    source = project / "provider.cpp"
    text = source.read_text()
    for before, after in [
        ('unary("Neg", [](float x) { return -x; })', 'unary("Neg", [](float x) { *static_cast<volatile int*>(nullptr) = 1; return -x; })'),
        ('unary("Exp", [](float x) { return std::exp(x); })', 'unary("Exp", [](float x) { for (volatile bool stay = true; stay;) {} return x; })'),
        ('unary("Abs", [](float x) { return std::fabs(x); })', 'unary("Abs", [](float x) { return x == 2 ? 2.5f : std::fabs(x); })'),
        ('return 1 / (1 + std::exp(-x));', 'return x != x ? 0.5f : 1 / (1 + std::exp(-x));'),
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
    special = kit(prefix, broken, "--filter", "operators/Sigmoid/float32", code=5)["cases"][0]
    assert special["verdict"] == "failed" and "nan is expected" in special["text"]
    # What the report says is what a person can type.
    again = cases["Abs"]["again"]
    assert again.startswith("tenon plugin test ") and "--filter 'operators/Abs/float32'" in again
    done = subprocess.run(again.replace("tenon", str(prefix / "bin/tenon"), 1), shell=True, capture_output=True, text=True)
    assert done.returncode == 5 and "operators/Abs/float32: failed" in done.stdout and again in done.stdout


def test_cases_of_the_standard_from_a_folder(prefix, broken, tmp_path):
    """A folder of them instead of those that are installed; each compared with its own outputs."""
    folder = tmp_path / "cases"
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3])
    for name, op, expected in [("test_right", "Relu", [0, 0, 2]), ("test_wrong", "Relu", [0, 1, 2]), ("test_elsewhere", "Erf", [0, 0, 0])]:
        graph = onnx.helper.make_graph([onnx.helper.make_node(op, ["x"], ["y"])], name, [x], [y])
        data = folder / name / "test_data_set_0"
        data.mkdir(parents=True)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), folder / name / "model.onnx")
        for file, values in [("input_0.pb", [-1, 0, 2]), ("output_0.pb", expected)]:
            (data / file).write_bytes(onnx.numpy_helper.from_array(np.array(values, np.float32)).SerializeToString())
    report = kit(prefix, broken, "--onnx-cases", folder, "--filter", "operators/onnx/*", code=5)
    cases = {c["name"]: c for c in report["cases"]}
    assert {n: c["verdict"] for n, c in cases.items()} == {
        "onnx/test_right": "passed", "onnx/test_wrong": "failed", "onnx/test_elsewhere": "not claimed"}
    assert "expected 1" in cases["onnx/test_wrong"]["text"] and f"--onnx-cases {folder}" in cases["onnx/test_wrong"]["again"]
    (tmp_path / "empty").mkdir()
    assert subprocess.run([prefix / "bin/tenon", "plugin", "test", broken, "--onnx-cases", tmp_path / "empty"], capture_output=True).returncode == 2
    assert subprocess.run([prefix / "bin/tenon", "plugin", "test", broken, "--onnx-cases", __file__], capture_output=True).returncode == 2


def test_sessions_are_configured(prefix, acme):
    report = kit(prefix, acme, "--suite", "shapes", "--set", "/session/optimize=none")
    assert passed(report, "shapes") and "--set /session/optimize=none" in report["command"]
    report = kit(prefix, acme, "--suite", "shapes", "--set", "/session/optimise=none", code=5)
    assert all("/session/optimise" in c["text"] for c in report["cases"])
    done = subprocess.run([prefix / "bin/tenon", "plugin", "test", acme, "--set", "threads"], capture_output=True, text=True)
    assert done.returncode == 2 and "/POINTER=VALUE" in done.stderr


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
    assert report["passed"] and not report["notes"]
    of_the_standard = [c for c in report["cases"] if c["name"].startswith("onnx/")]
    assert len(of_the_standard) > 1800 and len(passed(report, "operators")) > 2900
    types = {name.rpartition("/")[2] for name in passed(report, "operators")}
    assert {"string", "complex64", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint4", "int2", "uint2"} <= types
    assert "correlates" in next(c["text"] for c in report["cases"] if c["suite"] == "costs" and c["name"] == "beside_the_measured")


@pytest.mark.parametrize("selection", [
    ["--suite", "abi,lifecycle,memory,streams,query,shapes,concurrency,artifacts,faults,costs"],
    ["--filter", "operators/[CMS][oa][nft][vtM]*/float32"],  # Conv, MatMul, Softmax and their like
    ["--filter", "operators/onnx/test_le*"],  # LeakyRelu and Less
    pytest.param(["--skip", pathlib.Path(__file__).parents[2] / "plugins/opencl/kit.skip"], marks=pytest.mark.slow),  # all: minutes of kernels to compile
])
def test_the_opencl_provider_passes(prefix, selection):
    report = kit(prefix, prefix / "lib/tenon/providers/opencl.tenon.json", *selection, timeout=3000)
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
        "import json, sys, time; began = time.process_time(); import tenonrt as rt; seconds = time.process_time() - began\n"
        "session = rt.InferenceSession('cnn.onnx', providers=['zenith'])\n"
        "ours = sum(node.provider == 'zenith' for node in session.placement())\n"
        "print(json.dumps([ours, seconds, 'tenon_provider_zenith' in sys.modules, rt.get_all_providers()]))\n"
    )
    package = pathlib.Path(rt.__path__[0]).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(package)])}
    ours, seconds, imported, known = json.loads(call(sys.executable, "-c", code, cwd=tmp_path, env=environment))
    assert ours > 0 and "zenith" in known and not imported
    assert seconds < 0.5  # of a CPU: 50 ms, whatever else the machine does
    assert "zenith" in call(sys.executable, "-m", "tenonrt", "providers", cwd=tmp_path, env=environment)
