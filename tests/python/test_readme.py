"""README's examples, as they stand there."""
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
MODEL = ROOT / "build/demo/resnet50.onnx"


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.S).group(1)


@pytest.fixture(scope="module", autouse=True)
def demo_model():
    if not MODEL.exists():
        subprocess.run([sys.executable, str(ROOT / "scripts/demo_model"), str(MODEL)], check=True)


def test_python_example(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(block("python"), "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "(1, 1000)" in out and "on cpu" in out


def test_cpp_example(tmp_path):
    (tmp_path / "example.cpp").write_text(block("cpp"))
    lib = ROOT / "build/release/lib"
    includes = [f"-I{ROOT / folder}" for folder in ("sdk/cpp/include", "sdk/c/include", "plugin-api/include")]
    subprocess.run(["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", *includes, "example.cpp", f"-L{lib}", "-ltenon", f"-Wl,-rpath,{lib}", "-o", "example"],
                   cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "example"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("first score"), done.stderr


def test_configuration_example(tmp_path):
    (tmp_path / "tenon.json").write_text(block("json"))
    done = subprocess.run([ROOT / "build/release/bin/tenon", "config", "check", str(tmp_path / "tenon.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
