import json
import warnings

import numpy as np
import onnx
import pytest
import tenonrt as rt

from conftest import SUMS, model

X = np.ones((2, 3), np.float32)


def test_defaults_and_harmless_fields():
    o = rt.SessionOptions()
    assert o.intra_op_num_threads == 0 and o.graph_optimization_level == rt.GraphOptimizationLevel.ORT_ENABLE_ALL
    o.enable_cpu_mem_arena = o.enable_mem_pattern = False
    o.inter_op_num_threads = 1
    o.execution_mode = rt.ExecutionMode.ORT_PARALLEL
    o.log_severity_level, o.log_verbosity_level, o.logid = 4, 0, "x"
    o.intra_op_num_threads = 1
    rt.InferenceSession(model(SUMS), sess_options=o).run(None, {"x": X, "y": X})


@pytest.mark.parametrize("level", list(rt.GraphOptimizationLevel))
def test_optimization_levels(level):
    o = rt.SessionOptions()
    o.graph_optimization_level = level
    assert (rt.InferenceSession(model(SUMS), o).run(None, {"x": X, "y": X})[0] == 2).all()


def test_config_entries_of_both_runtimes():
    o = rt.SessionOptions()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        o.add_session_config_entry("session.intra_op.allow_spinning", "0")
        o.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        o.add_session_config_entry("precision", "highest")
        o.add_session_config_entry("/limits/run", "10s")
        o.add_session_config_entry("session.threads", "1")
        o.add_session_config_entry("/shapes/batch/max", "8")
    assert o.get_session_config_entry("precision") == "highest"
    with pytest.raises(RuntimeError):
        o.get_session_config_entry("absent")
    rt.InferenceSession(model(SUMS), o)


def test_unknown_keys_warn_and_suggest():
    o = rt.SessionOptions()
    with pytest.warns(rt.UnknownConfigKeyWarning, match='did you mean "session.intra_op.allow_spinning"'):
        o.add_session_config_entry("session.intra_op.alow_spinning", "1")
    with pytest.warns(rt.UnknownConfigKeyWarning, match="/session/threads"):
        o.add_session_config_entry("/session/thread", "1")
    with pytest.raises(rt.InvalidArgument, match="threads"):
        o.add_session_config_entry("/session/threads", "many")


def test_free_dimension_override():
    o = rt.SessionOptions()
    o.add_free_dimension_override_by_name("batch", 2)
    session = rt.InferenceSession(model(SUMS), o)
    assert (session.run(None, {"x": X, "y": X})[0] == 2).all()


def test_a_configuration_file_counts(tmp_path, monkeypatch):
    path = tmp_path / "tenon.json"
    path.write_text(json.dumps({"session": {"thread": 1}}))
    o = rt.SessionOptions()
    o.config_file = path
    with pytest.raises(rt.InvalidArgument, match='did you mean "threads"'):
        rt.InferenceSession(model(SUMS), o)
    monkeypatch.setenv("TENON_CONFIG", str(path))
    with pytest.raises(rt.InvalidArgument, match="tenon.json:1"):
        rt.InferenceSession(model(SUMS))


def test_run_options():
    o = rt.RunOptions()
    assert o.terminate is False and o.deadline_ms is None
    o.timeout = 1.5
    assert o.deadline_ms == 1500
    o.log_severity_level, o.logid = 3, "run"
    o.add_run_config_entry("a", "b")
    assert o.get_run_config_entry("a") == "b"
    assert rt.InferenceSession(model(SUMS)).run(None, {"x": X, "y": X}, o)[0].shape == (2, 3)


def test_schema_is_json():
    assert "properties" in json.loads(rt.config_schema())


def test_severity():
    rt.set_default_logger_severity(3)
    rt.set_default_logger_severity(2)
    with pytest.raises(ValueError):
        rt.set_default_logger_severity(9)


def precision_errors(text, x, w, exact):
    """Largest errors, relative to the largest output, by level: as a session entry, and as a provider's option, which wins."""
    proto = onnx.load_model_from_string(model(text))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    data, errors = proto.SerializeToString(), {}
    for level in ("highest", "high", "medium"):
        o = rt.SessionOptions()
        o.add_session_config_entry("precision", level)
        y = rt.InferenceSession(data, o, providers=["cpu"]).run(None, {"x": x})[0]
        for session_level in (None, "highest", "medium"):
            o = rt.SessionOptions()
            if session_level:
                o.add_session_config_entry("precision", session_level)
            again = rt.InferenceSession(data, o, providers=[("cpu", {"precision": level})]).run(None, {"x": x})[0]
            assert (y == again).all()
        errors[level] = np.abs(y - exact).max() / np.abs(exact).max()
    return errors


def test_precision_of_products():
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((64, 96), (96, 80)))
    errors = precision_errors("g (float[64, 96] x) => (float[64, 80] y) { y = MatMul(x, w) }", x, w, x.astype(np.float64) @ w)
    assert errors["highest"] <= 1e-6 and errors["high"] <= 2e-5 and errors["medium"] <= 1e-2


def test_precision_of_convolutions():
    rng = np.random.default_rng(2)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, 32, 18, 18), (32, 32, 3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), axis=(2, 3))
    exact = np.einsum("nchwij,ocij->nohw", windows, w)
    errors = precision_errors("g (float[1, 32, 18, 18] x) => (float[1, 32, 16, 16] y) { y = Conv(x, w) }", x, w, exact)
    assert errors["highest"] <= 1e-6 and errors["high"] <= 2e-5 and errors["medium"] <= 1e-2
