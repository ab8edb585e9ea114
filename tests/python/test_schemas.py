"""The JSON Schemas of reports and configurations: what the library writes is what they say, member for member."""
import copy
import json

import pytest
from conftest import FOREVER, model, root
from test_cli import SECOND, tenon

jsonschema = pytest.importorskip("jsonschema")
pytestmark = pytest.mark.skipif(not SECOND.exists(), reason="the test providers are built with the tree only")
PLACEMENT, KIT, CONFIGURATION = "core/report/placement.schema.json", "sdk/kit/report.schema.json", "configs/tenon.schema.json"


def closed(schema):
    """The same without room for members that a newer version may add: none is written that the schema does not know."""
    schema = copy.deepcopy(schema)

    def close(part):
        for inner in part.values() if isinstance(part, dict) else part:
            if isinstance(inner, (dict, list)):
                close(inner)
        if isinstance(part, dict) and isinstance(part.get("properties"), dict) and "additionalProperties" not in part:
            part["additionalProperties"] = False

    close(schema)
    return schema


def read(name):
    schema = json.loads((root / name).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(closed(schema))


def explained(tmp_path, text, *args):
    (tmp_path / "m.onnx").write_bytes(model(text))
    return json.loads(tenon("explain", tmp_path / "m.onnx", "--json", *args).stdout)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_placements(tmp_path):
    placement = read(PLACEMENT)
    two = ["--provider-path", SECOND, "-p", "second", "-p", "cpu"]
    mixed = explained(tmp_path, "g (float[N, 8] x) => (float[N, 8] y) { a = Relu(x) b = Softmax(a) y = Neg(b) }", *two)
    rule = ["--set", '/placement/rules=[{"match": {"op": "Relu"}, "use": "second"}]']
    ruled = explained(tmp_path, "g (float[N, 8] x) => (float[N, 8] y) { a = Relu(x) b = Softmax(a) y = Neg(b) }", *two, *rule)
    bodies = explained(tmp_path, FOREVER)
    lost = ["--set", '/placement/rules=[{"match": {"op": "Tan"}, "deny": ["cpu"]}]', "--set", "/placement/on_unsupported=report"]
    nowhere = explained(tmp_path, "g (float[2] x) => (float[2] y) { y = Tan(x) }", *two, *lost)
    for report in (mixed, ruled, bodies, nowhere):
        placement.validate(report)
    # Every kind of member was there to be looked at.
    assert ruled["copies"] and ruled["memory"]["domains"] and ruled["memory"]["at_peak"] and ruled["parts"]
    assert any(n["refusals"] for n in mixed["nodes"]) and any(n["offers"] for n in mixed["nodes"]) and mixed["remedies"]
    assert any(n["graph"] for n in bodies["nodes"]) and nowhere["unsupported"]


def test_a_member_more_less_or_of_another_kind_is_no_placement(tmp_path):
    placement = read(PLACEMENT)
    good = explained(tmp_path, "g (float[2] x) => (float[2] y) { a = Softmax(x) y = Exp(a) }")
    placement.validate(good)
    for change in (lambda r: r.pop("notes"), lambda r: r.update(more=1), lambda r: r["nodes"][0].pop("why"),
                   lambda r: r["nodes"][0]["offers"][0].update(cost_from="a guess"), lambda r: r.update(version=2),
                   lambda r: r["memory"]["domains"][0].update(bytes="4 KiB")):
        bad = copy.deepcopy(good)
        change(bad)
        assert not placement.is_valid(bad)


def test_reports_of_the_kit(tmp_path):
    kit = read(KIT)
    manifest = next(SECOND.glob("*.tenon.json"))
    for more in ([], ["--skip", tmp_path / "skip"]):
        done = tenon("plugin", "test", manifest, "--filter", "abi/*", "--json", tmp_path / "kit.json", *more, code=5 if more else 0)
        report = json.loads((tmp_path / "kit.json").read_text())
        kit.validate(report)
        assert report["cases"] and report["passed"] == (not more), done.stdout
        assert sum(report["counts"].values()) == len(report["cases"])
        (tmp_path / "skip").write_text(f"abi/{report['cases'][0]['name']}   but it passes, which is a failure\n")
    report["cases"][0]["verdict"] = "perhaps"
    assert not kit.is_valid(report)


def test_configurations(tmp_path):
    schema = json.loads((root / CONFIGURATION).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    configuration = jsonschema.Draft7Validator(schema)
    for name in ("default.json", "cpu.json", "debug.json"):
        shown = json.loads(tenon("config", "show", "-c", root / "configs" / name).stdout)
        configuration.validate(shown)
        assert shown or name == "default.json"
    for wrong in ({"sesion": {}}, {"limits": {"run": 5}}, {"placement": {"on_device_lost": "pray"}}):
        assert not configuration.is_valid(wrong)
