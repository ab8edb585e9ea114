"""Sparse tensors of a model file are dense when it runs."""
import ml_dtypes
import numpy as np
import pytest
import tenonrt as rt
from onnx import helper, numpy_helper


def model_with(values, indices, dims, as_initializer):
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(values, "w"), numpy_helper.from_array(np.asarray(indices, np.int64), "at"), dims)
    dtype = helper.np_dtype_to_tensor_dtype(values.dtype)
    nodes = [helper.make_node("Identity", ["w"], ["y"])]
    if not as_initializer:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    graph = helper.make_graph(nodes, "sparse", [], [helper.make_tensor_value_info("y", dtype, dims)], sparse_initializer=[sparse] if as_initializer else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13).SerializeToString()


@pytest.mark.parametrize("as_initializer", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64, np.bool_, ml_dtypes.bfloat16, ml_dtypes.int4])
@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]], ids=["linear", "tuples"])
def test_values_at_their_places(dtype, indices, as_initializer):
    values = np.array([1, 3]).astype(dtype)
    want = np.zeros((2, 3), dtype)
    want[0, 1], want[1, 2] = values
    got = rt.InferenceSession(model_with(values, indices, [2, 3], as_initializer), providers=["cpu"]).run(None, {})[0]
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.astype(np.complex64), want.astype(np.complex64))


@pytest.mark.parametrize("indices,dims,text", [([1, 6], [2, 3], "index 6 of element 1 is outside its 6 elements"), ([[0, 1], [1, 3]], [2, 3], "outside dimension 1 of size 3"),
                                               ([1, -1], [2, 3], "index -1"), ([1, 2], [2**40, 2**20], "memory"), ([1, 2], [2**40, 2**40], "w")])
def test_damaged_ones_are_refused(indices, dims, text):
    with pytest.raises(Exception, match=text):
        rt.InferenceSession(model_with(np.array([1, 3], np.float32), indices, dims, True), providers=["cpu"])
