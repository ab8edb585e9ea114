"""Writes the test corpus of an onnx release (Apache-2.0) as files, once: materialize.py FOLDER [VERSION ...]

  FOLDER/onnx-VERSION/<suite>/<case>/model.onnx
                                     test_data_set_<k>/{input,output}_<i>.pb
                                     data.json        where a case has tolerances of its own
  FOLDER/onnx-VERSION/manifest.json                   what made it, how many cases there are and must pass, the SHA-256 of every file

Versions (default: all) are those of CORPORA. One that is there and fits its manifest is left alone, anything else is made anew
beside it and takes its place when it is complete.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

# How many cases a release has, so that half a corpus cannot look like a whole one; the fewest that must pass, so that exceptions
# cannot grow unseen; and the source archive to take it from: else it is the installed package, whose node cases exist only as the
# Python code that makes them.
CORPORA = {
    "1.23.2": {"minimum": 2000,
               "suites": {"node": 1884, "simple": 23, "light": 9, "pytorch-converted": 82, "pytorch-operator": 35}},
    "1.22.0": {"minimum": 1900,
               "suites": {"node": 1765, "simple": 23, "light": 9, "pytorch-converted": 82, "pytorch-operator": 35},
               "sdist_sha256": "ef40c0aaf0b643857ea9306fc7eddce17eaf9fb0407e4801f1fc5758443a38e0"},
}
RECIPE = 1  # raise when this file writes something else
TOLERANCES = {"rtol": 1e-3, "atol": 1e-7}


# ---- the cases ------------------------------------------------------------------------------------------------------------

def message(value, info):
    """A value as the message that its declared type asks for."""
    if info.type.HasField("sequence_type"):
        return numpy_helper.from_list(value, info.name)
    if info.type.HasField("optional_type"):
        return numpy_helper.from_optional(value, info.name)
    if isinstance(value, onnx.TensorProto):
        return value
    array = np.asarray(value)
    return numpy_helper.from_array(array.astype(object) if array.dtype.kind in "US" else array, info.name)


def write_case(folder, model, data_sets, tolerances):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString(deterministic=True))
    for k, files in enumerate(data_sets):
        data = folder / f"test_data_set_{k}"
        data.mkdir()
        for name, content in files.items():
            (data / name).write_bytes(content)
    if tolerances != TOLERANCES:
        (folder / "data.json").write_text(json.dumps(tolerances) + "\n")


def generate_node_cases(out):
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases():
        sets = []
        for values in case.data_sets:
            ports = zip(("input", "output"), values, (case.model.graph.input, case.model.graph.output))
            sets.append({f"{kind}_{i}.pb": message(v, info).SerializeToString(deterministic=True)
                         for kind, side, infos in ports for i, (v, info) in enumerate(zip(side, infos, strict=True))})
        write_case(out / case.name, case.model, sets, {"rtol": case.rtol, "atol": case.atol})


def copy_cases(data, out):
    """Cases that the release holds as files."""
    for case in sorted(p for p in data.iterdir() if (p / "model.onnx").exists()):
        sets = [{f.name: f.read_bytes() for f in sorted(s.glob("*.pb"))} for s in sorted(case.glob("test_data_set_*"))]
        own = json.loads((case / "data.json").read_text()) if (case / "data.json").exists() else {}
        write_case(out / case.name, (case / "model.onnx").read_bytes(), sets, {k: own.get(k, v) for k, v in TOLERANCES.items()})


def copy_light_cases(data, out):
    """Networks without their weights. The input is not stored: by the standard's runner it rises from 0 to 1."""
    for description in sorted((data / "real").glob("*/data.json")):
        own = json.loads(description.read_text())
        path = data / "light" / pathlib.PurePosixPath(own["url"]).name
        model = onnx.load(path)
        given = {i.name for i in model.graph.initializer}
        files = {}
        for i, info in enumerate(i for i in model.graph.input if i.name not in given):
            shape = [d.dim_value if d.HasField("dim_value") else 1 for d in info.type.tensor_type.shape.dim]
            n = int(np.prod(shape))
            rising = (np.arange(n).reshape(shape) / n).astype(np.float32)
            files[f"input_{i}.pb"] = numpy_helper.from_array(rising, info.name).SerializeToString()
        for i in range(len(model.graph.output)):
            files[f"output_{i}.pb"] = path.with_name(f"{path.stem}_output_{i}.pb").read_bytes()
        write_case(out / description.parent.name, path.read_bytes(), [files], {k: own.get(k, v) for k, v in TOLERANCES.items()})


# ---- where they come from ---------------------------------------------------------------------------------------------------

def unpack_sdist(version, sha256, work):
    """The folder of test data of the source archive on PyPI."""
    (work / "requirements.txt").write_text(f"onnx=={version} --hash=sha256:{sha256}\n")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", "onnx",
                    "--require-hashes", "-r", work / "requirements.txt", "-d", work], check=True)
    inside = f"onnx-{version}/onnx/backend/test/data/"
    with tarfile.open(work / f"onnx-{version}.tar.gz") as archive:
        for member in archive:
            if not member.isfile() or not member.name.startswith(inside) or ".." in pathlib.PurePosixPath(member.name).parts:
                continue
            target = work / "data" / member.name.removeprefix(inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.extractfile(member).read())
    return work / "data"


def write_cases(version, out, work):
    sha256 = CORPORA[version].get("sdist_sha256")
    if sha256 is None and onnx.__version__ != version:
        sys.exit(f"materialize: onnx {version} is asked for, {onnx.__version__} is installed; run scripts/setup")
    data = unpack_sdist(version, sha256, work) if sha256 else pathlib.Path(onnx.__file__).parent / "backend/test/data"
    for suite in CORPORA[version]["suites"]:
        if suite == "light":
            copy_light_cases(data, out / suite)
        elif (data / suite).exists():
            copy_cases(data / suite, out / suite)
        else:
            generate_node_cases(out / suite)


# ---- the manifest -----------------------------------------------------------------------------------------------------------

def head(version):
    """What a corpus depends on: another head, another corpus."""
    source = {"sdist_sha256": CORPORA[version]["sdist_sha256"]} if "sdist_sha256" in CORPORA[version] else {"numpy": np.__version__}
    return {"onnx": version, **source, "recipe": RECIPE, "cases": sum(CORPORA[version]["suites"].values()),
            "minimum": CORPORA[version]["minimum"]}


def hashes(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "manifest.json"}


def fits(folder, version):
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        return {k: v for k, v in manifest.items() if k != "files"} == head(version) and manifest["files"] == hashes(folder)
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def materialize(folder, version):
    """True if it had to be made."""
    target = folder / f"onnx-{version}"
    if fits(target, version):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".onnx-{version}-") as temporary:
        new, work, old = (pathlib.Path(temporary) / name for name in ("new", "work", "old"))
        new.mkdir()
        work.mkdir()
        write_cases(version, new, work)
        found = {suite: sum(1 for _ in (new / suite).glob("*/model.onnx")) for suite in CORPORA[version]["suites"]}
        if found != CORPORA[version]["suites"]:
            sys.exit(f"materialize: onnx {version} has {CORPORA[version]['suites']} cases, found {found}")
        (new / "manifest.json").write_text(json.dumps({**head(version), "files": hashes(new)}, indent=1) + "\n")
        if target.exists():
            target.rename(old)
        new.rename(target)
        shutil.rmtree(work)
    return True


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=pathlib.Path)
    ap.add_argument("versions", nargs="*", metavar="VERSION", help=f"default: {' '.join(CORPORA)}")
    a = ap.parse_args()
    for version in a.versions or CORPORA:
        if version not in CORPORA:
            ap.error(f"onnx {version} is not known here; there are {', '.join(CORPORA)}")
        made = materialize(a.folder, version)
        print(f"onnx {version}: {head(version)['cases']} cases, {'written to' if made else 'already in'} {a.folder / f'onnx-{version}'}")


if __name__ == "__main__":
    main()
