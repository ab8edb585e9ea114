"""Failures carry onnxruntime's names and words, and say what to do."""
import numpy as np
import pytest
import tenonrt as rt

from conftest import SUMS, model

X = np.ones((2, 3), np.float32)


@pytest.fixture(scope="module")
def session():
    return rt.InferenceSession(model(SUMS))


def test_the_tree():
    for name in ("Fail InvalidArgument NoSuchFile NoModel EngineError RuntimeException InvalidProtobuf ModelLoaded NotImplemented "
                 "InvalidGraph EPFail ModelLoadCanceled NotFound DeviceReset").split():
        assert issubclass(getattr(rt, name), rt.Error), name
    assert issubclass(rt.InvalidArgument, ValueError)
    assert issubclass(rt.NoSuchFile, FileNotFoundError)
    assert issubclass(rt.NotImplemented, NotImplementedError)
    assert issubclass(rt.DeadlineExceeded, TimeoutError)
    assert issubclass(rt.OutOfMemory, MemoryError)


@pytest.mark.parametrize(
    "feed, text",
    [
        ({"x": X.astype(np.float64), "y": X}, r"Unexpected input data type. Actual: \(tensor\(double\)\) , expected: \(tensor\(float\)\)"),
        ({"x": X[0], "y": X}, "Invalid rank for input: x Got: 1 Expected: 2 Please fix either the inputs/outputs or the model."),
        ({"x": X[:, :2], "y": X}, "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 2 Expected: 3"),
        ({"z": X, "x": X, "y": X}, "Invalid input name: z"),
        ({"x": X}, r"Required inputs \(\['y'\]\) are missing from input feed \(\['x'\]\)."),
        ({}, r"Required inputs \(\['x', 'y'\]\) are missing from input feed \(\[\]\)."),
        ({"x": None, "y": X}, 'input "x" is None'),
        ({"x": np.array(["a"]), "y": X}, r"Actual: \(tensor\(string\)\)"),
        ({"x": np.array("2020-01-01", dtype="datetime64[D]"), "y": X}, r"Actual: \(datetime64"),
    ],
)
def test_wrong_feeds(session, feed, text):
    with pytest.raises(rt.InvalidArgument, match=text) as caught:
        session.run(None, feed)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_sizes_that_do_not_agree(session):
    with pytest.raises(rt.Error):
        session.run(None, {"x": X, "y": np.ones((5, 3), np.float32)})


def test_hints(session):
    with pytest.raises(rt.InvalidArgument) as caught:
        session.run(None, {"x": X.astype(np.float64), "y": X})
    assert caught.value.hint == 'types are never converted silently; pass x.astype("float32")'
    assert "astype" in str(caught.value)
    with pytest.raises(rt.InvalidArgument, match="the model's outputs are: sum, same"):
        session.run(["sun"], {"x": X, "y": X})
    with pytest.raises(TypeError, match="names of inputs"):
        session.run(None, {1: X})


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(rt.NoSuchFile, match="File doesn't exist") as caught:
        rt.InferenceSession(str(tmp_path / "absent.onnx"))
    assert isinstance(caught.value, FileNotFoundError) and caught.value.code == "NOT_FOUND"
    (tmp_path / "bad.onnx").write_bytes(b"this is no model")
    for source in (b"this is no model", tmp_path / "bad.onnx"):
        with pytest.raises(rt.InvalidArgument):
            rt.InferenceSession(source)
    good = model(SUMS)
    with pytest.raises(rt.InvalidArgument):
        rt.InferenceSession(good[: len(good) // 2])
    unknown = model("g (float[1] x) => (float[1] y) { y = NoSuchOp(x) }")
    with pytest.raises((rt.InvalidGraph, rt.NotImplemented), match="NoSuchOp"):
        rt.InferenceSession(unknown)


def test_kernels_name_the_operator():
    session = rt.InferenceSession(model("g (float[3] x, int64[n] i) => (float[n] y) { y = Gather(x, i) }"))
    with pytest.raises(rt.Error, match="Gather"):
        session.run(None, {"x": np.ones(3, np.float32), "i": np.array([7])})
    assert session.run(None, {"x": np.ones(3, np.float32), "i": np.array([-1])})[0].tolist() == [1]
