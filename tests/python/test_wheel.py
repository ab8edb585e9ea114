"""The wheel installs and runs in an empty environment, without anything of this tree."""
import os
import pathlib
import subprocess
import sys

import pytest

EVERYWHERE = ("linux-vdso", "/lib64/ld-linux", "libc.so", "libm.so", "libdl.so", "libpthread", "librt.so", "libgcc_s", "libstdc++")
root = pathlib.Path(__file__).resolve().parent.parent.parent


def call(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_wheel(tmp_path):
    from conftest import SUMS, model

    build = os.environ.get("TENON_WHEEL_BUILD", str(tmp_path / "build"))
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    # The compiler as the rest of the tree is built with, so that ccache knows its results.
    compilers = {"CC": "/usr/bin/cc", "CXX": "/usr/bin/c++", **os.environ}
    call(*pip_wheel, "-w", tmp_path, "--config-settings", f"build-dir={build}", root / "sdk/python", env=compilers)
    (wheel,) = tmp_path.glob("tenonrt-*.whl")
    venv = tmp_path / "venv"
    call(sys.executable, "-m", "venv", venv)
    python = venv / "bin/python"
    call(python, "-m", "pip", "install", "-q", wheel)
    (tmp_path / "m.onnx").write_bytes(model(SUMS))
    code = (
        "import numpy as np, tenonrt as rt\n"
        "s = rt.InferenceSession('m.onnx')\n"
        "x = np.ones((2, 3), np.float32)\n"
        "assert (s.run(None, {'x': x, 'y': x})[0] == 2).all()\n"
        "print(rt.__path__[0], s.get_providers())"
    )
    clean = {"PATH": "/usr/bin:/bin"}
    printed = call(python, "-I", "-c", code, cwd=tmp_path, env=clean)
    assert str(venv) in printed and "CPUExecutionProvider" in printed
    # Nothing of the machine but what every Linux has.
    package = next((venv / "lib").glob("python*/site-packages/tenonrt"))
    for library in package.rglob("*.so*"):
        for line in call("ldd", library, env=clean).splitlines():
            where = line.partition("=> ")[2].partition(" (")[0]
            name = line.split()[0]
            assert name.startswith(EVERYWHERE) or where.startswith(str(package)), f"{library.name} needs {line}"
    if (package / "bin/tenon").exists():
        assert "tenon" in call(python, "-I", "-m", "tenonrt", "--help", env=clean)
