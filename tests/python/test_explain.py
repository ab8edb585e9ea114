"""tenon explain: one node, one provider, two reports, a page of HTML, sizes; and tenon tune."""
import json
import pathlib
import re

import onnx
import pytest
import tenonrt as rt
from conftest import model
from test_cli import SECOND, data, sums, tenon  # noqa: F401  (sums is a fixture)

pytestmark = pytest.mark.skipif(not SECOND.exists(), reason="the test providers are built with the tree only")
MIXED = """g (float[batch, 8] x) => (float[batch, 8] y) {
  a = Relu(x)
  b = Softmax(a)
  c = Neg(b)
  y = Mul(c, x)
}"""
BOTH = ["--provider-path", SECOND, "-p", "second", "-p", "cpu"]


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    proto = onnx.load_from_string(model(MIXED))
    for node, name in zip(proto.graph.node, ("layer/relu", "layer/softmax", "layer/neg", "layer/mul")):
        node.name = name
    onnx.save(proto, tmp_path / "mixed.onnx")
    return tmp_path / "mixed.onnx"


def test_costs_and_memory_are_for_the_sizes_that_are_asked(mixed):
    small, large = (data("explain", mixed, *BOTH, "-d", f"batch={n}") for n in (2, 2000))
    assert small["values"][0]["type"] == "float32[2,8]" and large["values"][0]["type"] == "float32[2000,8]"
    assert large["memory"]["domains"][0]["bytes"] > small["memory"]["domains"][0]["bytes"]
    assert large["cost_ns"] > small["cost_ns"]
    done = tenon("explain", mixed, "-d", "bacth=2", code=2)
    assert 'did you mean "batch"?' in done.stderr


def test_text_is_short_and_json_is_all(mixed):
    text = tenon("explain", mixed, *BOTH).stdout
    assert "4 nodes" in text and "runs on" in text and "arena" in text and len(text.splitlines()) < 40
    report = json.loads(tenon("explain", mixed, *BOTH, "--json").stdout)
    assert report["schema"] == "tenon.placement" and report["version"] == 1
    documented = (pathlib.Path(__file__).parent.parent.parent / "core/report/README.md").read_text()
    for key in report:
        assert f"`{key}`" in documented or f"`{key}[]`" in documented, key
    for group in ("nodes", "devices", "parts", "values"):
        for key in report[group][0]:
            assert f"`{key}`" in documented or f".{key}[]`" in documented, (group, key)


def test_one_node(mixed):
    text = tenon("explain", mixed, *BOTH, "--node", "layer/softmax").stdout
    assert "Softmax" in text and "float32[1,8]" in text and "no kernel for this operator" in text and "taken" in text
    by_value = json.loads(tenon("explain", mixed, *BOTH, "--node", "y", "--json").stdout)
    assert by_value["name"] == "layer/mul" and by_value["values"][str(by_value["outputs"][0])]["name"] == "y"
    costs = {c["device"]: c["cost_ns"] for c in by_value["cost_if"]}
    assert len(costs) == 2 and min(costs.values()) == pytest.approx(by_value["cost_now_ns"])
    ruled = tenon("explain", mixed, *BOTH, "--node", "layer/neg", "--set", '/placement/rules=[{"match": {"op": "Neg"}, "use": "cpu"}]').stdout
    assert "/placement/rules/0" in ruled and "kept away" in ruled
    done = tenon("explain", mixed, "--node", "layer/softmix", code=2)
    assert 'did you mean "layer/softmax"' in done.stderr


def test_why_not(mixed):
    text = tenon("explain", mixed, *BOTH, "--why-not", "second").stdout
    assert "Softmax" in text and "op" in text and "no kernel" in text and "newer version" in text
    found = json.loads(tenon("explain", mixed, *BOTH, "--why-not", "second", "--json").stdout)
    softmax, = [g for g in found["groups"] if g["op_type"] == "Softmax"]
    assert softmax["count"] == 1 and softmax["nodes"] == ["layer/softmax"] and softmax["reason"] == "op" and softmax["help"]
    assert 'did you mean "second"?' in tenon("explain", mixed, *BOTH, "--why-not", "secnd", code=2).stderr
    assert "add -p second" in tenon("explain", mixed, "-p", "cpu", "--why-not", "second", code=2).stderr


def test_comparison(mixed, tmp_path):
    rule = ["--set", '/placement/rules=[{"match": {"name": "*"}, "use": "cpu"}]']
    force = ["--set", '/placement/rules=[{"match": {"op": "Relu"}, "use": "second"}, {"match": {"name": "*"}, "use": "cpu"}]']
    for name, more in (("a", rule), ("b", force)):
        (tmp_path / f"{name}.json").write_text(tenon("explain", mixed, *BOTH, *more, "--json").stdout)
    text = tenon("explain", "--compare", tmp_path / "a.json", tmp_path / "b.json").stdout
    assert "1 node moved" in text and "Relu" in text and "arena second:memory" in text
    found = json.loads(tenon("explain", "--compare", tmp_path / "a.json", tmp_path / "b.json", "--json").stdout)
    assert [m["name"] for m in found["moved"]] == ["layer/relu"] and found["copied_bytes"]["a"] == 0 < found["copied_bytes"]["b"]
    assert "no node moved" in tenon("explain", "--compare", tmp_path / "a.json", tmp_path / "a.json").stdout
    (tmp_path / "c.json").write_text("{}")
    assert "not a report" in tenon("explain", "--compare", tmp_path / "a.json", tmp_path / "c.json", code=2).stderr
    assert "a model" in tenon("explain", code=2).stderr


def test_page(mixed, tmp_path):
    tenon("explain", mixed, *BOTH, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count('<g class="n"') == 4 and "layer/softmax" in page and "Why not elsewhere" in page
    assert not re.search(r"""(src|href)\s*=|url\(|https?://""", page)
    embedded = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert [n["name"] for n in embedded["nodes"]][0] == "layer/relu"
    assert rt.InferenceSession(str(mixed), providers=["cpu"]).explain("html").count('<g class="n"') == 4
    assert "cannot be written" in tenon("explain", mixed, "--html", tmp_path / "no/page.html", code=1).stderr


def test_tune_measures_and_later_sessions_place_by_it(tmp_path, monkeypatch):
    """The test provider promises 50 ns for anything; what it takes grows with the size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "chain.onnx"
    path.write_bytes(model("g (float[n, 2048] x) => (float[n, 2048] y) { a = Exp(x) b = Neg(a) c = Exp(b) y = Neg(c) }"))
    given = [path, *BOTH, "-d", "n=64"]
    assert {n["provider"] for n in data("explain", *given)["nodes"]} == {"second"}
    dry = json.loads(tenon("tune", *given, "--runs", 3, "--dry-run", "--json").stdout)
    assert not dry["kept"] and {line["provider"] for line in dry["learned"]} == {"second", "cpu"}
    assert not (tmp_path / "cache/tenon/costs").exists()
    assert dry["moved"] == 4 and dry["run_ns"]["after"] < dry["run_ns"]["before"], "the tuned placement is timed beside the other"
    assert [d["node_count"] for d in dry["devices"]["before"]] == [4, 0] and [d["node_count"] for d in dry["devices"]["after"]] == [0, 4]
    done = tenon("tune", *given, "--runs", 5).stdout
    assert "measured on" in done and "4 nodes moved" in done and "kept in" in done
    assert "provider's hint" in tenon("explain", *given, "--node", "a", "--set", "/placement/costs=").stdout
    after = data("explain", *given)
    assert {n["provider"] for n in after["nodes"]} == {"cpu"} and all(n["measured"] for n in after["nodes"])
    assert "measured" in tenon("explain", *given).stdout
    other = data("explain", *given[:-1], "n=32")  # never measured; its family was
    assert {o["cost_from"] for n in other["nodes"] for o in n["offers"]} == {"measured nearby"}
    assert {n["provider"] for n in other["nodes"]} == {"cpu"}
    assert {n["provider"] for n in data("explain", *given, "--set", "/placement/costs=")["nodes"]} == {"second"}
    assert "costs forgotten" in tenon("tune", *given, "--forget").stdout
    assert {n["provider"] for n in data("explain", *given)["nodes"]} == {"second"}


def test_options_take_one_value_and_leave_the_model_alone(mixed):
    """As one types it: options in front, the model last."""
    assert "4 nodes" in tenon("explain", "--provider-path", SECOND, "-p", "second", "-p", "cpu", "-d", "batch=2", mixed).stdout


def test_rules_that_say_nothing_are_named(mixed):
    rules = json.dumps([{"match": {"op": "Convolution"}, "use": "cpu"}, {"match": {"op": "Neg"}, "use": "cpu"}])
    notes = data("explain", mixed, *BOTH, "--set", f"/placement/rules={rules}")["notes"]
    assert any("/placement/rules/0 fits no node" in n for n in notes) and not any("/placement/rules/1" in n for n in notes)
    wrong = json.dumps([{"match": {"op": "Neg"}, "use": "scond"}])
    report = data("explain", mixed, *BOTH, "--set", f"/placement/rules={wrong}", "--set", "/placement/on_unsupported=report")
    assert any('wants "scond", which is no provider' in n for n in report["notes"])


def test_a_command_that_there_is_not(mixed):
    assert 'did you mean "explain"?' in tenon("explian", mixed, code=2).stderr
    assert "; there are run, " in tenon("xyzzyx", code=2).stderr
    assert "--nodes lists all" in tenon("explain", mixed, "--node", "nothing at all", code=2).stderr
    done = tenon("explain", mixed, *BOTH, "--why-not", "secnd", code=2)
    assert 'did you mean "second"?' in done.stderr and "add -p" not in done.stderr
