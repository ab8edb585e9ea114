"""OrtValue and IOBinding, and a decoder whose past grows: by arrays, by two buffers in turn, in a cache of fixed size."""
import numpy as np
import pytest
import tenonrt as rt

from conftest import model

DECODER = """g (float[1,2,S,4] x, float[1,2,P,4] past_k, float[1,2,Q,4] past_v) => (float[1,2,S,4] y, float[1,2,K,4] k, float[1,2,V,4] v)
  <float half = {0.5}> {
    k = Concat<axis = 2>(past_k, x)  xv = Mul(x, half)  v = Concat<axis = 2>(past_v, xv)
    kt = Transpose<perm = [0, 1, 3, 2]>(k)  s = MatMul(x, kt)  p = Softmax<axis = -1>(s)  y = MatMul(p, v) }"""
ADD = "g (float[N] a, float[N] b) => (float[N] sum, float[N] difference) { sum = Add(a, b) difference = Sub(a, b) }"
CACHE = """g (float[1,2,8,4] past, float[1,2,1,4] fresh, int64[1] at) => (float[1,2,8,4] present, float[1,2,1,8] scores)
  { present = TensorScatter<axis = 2>(past, fresh, at)  t = Transpose<perm = [0, 1, 3, 2]>(present)  scores = MatMul(fresh, t) }"""


def session_of(text, opset=18):
    return rt.InferenceSession(model(text, opset))


def tokens(count):
    rng = np.random.default_rng(5)
    return [rng.standard_normal((1, 2, 1, 4)).astype(np.float32) for _ in range(count)]


def decode_with_arrays(count):
    """Every step in a session that has seen nothing else."""
    k = v = np.zeros((1, 2, 0, 4), np.float32)
    results = []
    for x in tokens(count):
        y, k, v = session_of(DECODER).run(None, {"x": x, "past_k": k, "past_v": v})
        results.append(y)
    return results, k, v


def test_ortvalue_shares_an_array():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = rt.OrtValue.ortvalue_from_numpy(array)
    assert (value.shape(), value.data_type(), value.element_type(), value.device_name()) == ([2, 3], "tensor(float)", 1, "cpu")
    assert value.data_ptr() == array.ctypes.data and value.tensor_size_in_bytes() == 24 and value.is_tensor()
    array[0, 0] = 9
    assert value.numpy()[0, 0] == 9
    pointer = array.ctypes.data
    del array
    assert value.data_ptr() == pointer and value.numpy().sum() == 24
    value.update_inplace(np.ones((2, 3), np.float32))
    assert value.numpy().sum() == 6
    with pytest.raises(ValueError, match="is expected"):
        value.update_inplace(np.ones((2, 3)))
    transposed = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert np.array_equal(rt.OrtValue.ortvalue_from_numpy(transposed).numpy(), transposed)
    assert rt.OrtValue.ortvalue_from_numpy(np.array(["a", "bc"])).numpy().tolist() == ["a", "bc"]
    with pytest.raises(ValueError, match="cpu"):
        rt.OrtValue.ortvalue_from_numpy(np.ones(1), "cuda", 0)


def test_ortvalue_of_a_shape_and_dlpack():
    value = rt.OrtValue.ortvalue_from_shape_and_type([2, 2], np.int32)
    value.update_inplace(np.array([[1, 2], [3, 4]], np.int32))
    through = np.from_dlpack(value)
    assert through.ctypes.data == value.data_ptr() and through.tolist() == [[1, 2], [3, 4]]
    back = rt.OrtValue.from_dlpack(value)
    assert back.data_ptr() == value.data_ptr() and back.element_type() == 6
    bits = np.array([0x3F80, 0x4000], np.uint16)
    half = rt.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, 16)
    assert half.data_type() == "tensor(bfloat16)" and half.data_ptr() == bits.ctypes.data


def test_binding_reads_and_writes_in_place():
    session = session_of(ADD)
    a, b = np.array([1, 2, 3], np.float32), np.array([10, 20, 30], np.float32)
    out = np.zeros(3, np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("a", a)
    binding.bind_input("b", "cpu", 0, np.float32, b.shape, b.ctypes.data)
    binding.bind_output("sum", "cpu", 0, np.float32, out.shape, out.ctypes.data)
    binding.bind_output("difference")
    with pytest.raises(rt.Error, match="has not been made"):
        binding.get_outputs()
    session.run_with_iobinding(binding)
    assert out.tolist() == [11, 22, 33]
    values = binding.get_outputs()
    assert values[0].data_ptr() == out.ctypes.data and values[1].numpy().tolist() == [-9, -18, -27]
    a[:] = 100
    session.run_with_iobinding(binding)
    assert out.tolist() == [110, 120, 130]
    assert [array.tolist() for array in binding.copy_outputs_to_cpu()] == [[110, 120, 130], [90, 80, 70]]
    assert values[1].numpy().tolist() == [-9, -18, -27]  # results are not written again
    binding.clear_binding_inputs()
    with pytest.raises(rt.InvalidArgument, match="missing"):
        session.run_with_iobinding(binding)


def test_binding_errors_name_the_output():
    session = session_of(ADD)
    binding = session.io_binding()
    a = np.ones(3, np.float32)
    binding.bind_cpu_input("a", a)
    binding.bind_cpu_input("b", np.ones(3, np.float32))
    binding.bind_ortvalue_output("sum", rt.OrtValue.ortvalue_from_shape_and_type([2], np.float32))
    with pytest.raises(rt.InvalidArgument, match='output "sum"'):
        session.run_with_iobinding(binding)
    binding.bind_ortvalue_output("sum", rt.OrtValue.ortvalue_from_numpy(a))
    binding.bind_output("difference")
    with pytest.raises(rt.InvalidArgument, match="overlaps"):
        session.run_with_iobinding(binding)
    assert a.tolist() == [1, 1, 1]


def test_a_binding_without_outputs():
    s = session_of(ADD)
    binding = s.io_binding()
    with pytest.raises(rt.InvalidArgument, match="no output is bound(.|\n)*sum, difference"):
        s.run_with_iobinding(binding)
    binding.bind_output("sum")
    binding.clear_binding_outputs()
    with pytest.raises(rt.InvalidArgument, match="no output is bound"):
        s.run_with_iobinding(binding)


def test_run_with_ort_values():
    value = rt.OrtValue.ortvalue_from_numpy(np.array([1, 2], np.float32))
    results = session_of(ADD).run_with_ort_values(["difference", "sum"], {"a": value, "b": value})
    assert [r.numpy().tolist() for r in results] == [[0, 0], [2, 4]]


def test_a_growing_past_by_arrays():
    expected, k, v = decode_with_arrays(40)
    session = session_of(DECODER)
    past_k = past_v = np.zeros((1, 2, 0, 4), np.float32)
    for x, y in zip(tokens(40), expected):
        got, past_k, past_v = session.run(None, {"x": x, "past_k": past_k, "past_v": past_v})
        assert np.array_equal(got, y)
    assert np.array_equal(past_k, k) and np.array_equal(past_v, v)


def test_a_growing_past_in_two_buffers_in_turn():
    """Nothing is made during the loop: results go into memory that is large enough for all of it."""
    expected, k, v = decode_with_arrays(40)
    session = session_of(DECODER)
    y = rt.OrtValue.ortvalue_from_shape_and_type([1, 2, 1, 4], np.float32)
    room = [{name: rt.OrtValue.ortvalue_from_shape_and_type([1, 2, 40, 4], np.float32) for name in "kv"} for _ in range(2)]
    binding = session.io_binding()
    past = {name: rt.OrtValue.ortvalue_from_numpy(np.zeros((1, 2, 0, 4), np.float32)) for name in "kv"}
    for step, (x, wanted) in enumerate(zip(tokens(40), expected)):
        binding.bind_cpu_input("x", x)
        for name in "kv":
            binding.bind_ortvalue_input(f"past_{name}", past[name])
        binding.bind_ortvalue_output("y", y)
        for name in "kv":
            binding.bind_ortvalue_output(name, room[step % 2][name])
        session.run_with_iobinding(binding)
        assert np.array_equal(y.numpy(), wanted)
        past = dict(zip("kv", binding.get_outputs()[1:]))
        assert past["k"].shape() == [1, 2, step + 1, 4] and past["k"].data_ptr() == room[step % 2]["k"].data_ptr()
    assert np.array_equal(past["k"].numpy(), k) and np.array_equal(past["v"].numpy(), v)


def test_a_cache_of_fixed_size_is_written_where_it_is():
    apart, together = session_of(CACHE, 24), session_of(CACHE, 24)
    plain = np.zeros((1, 2, 8, 4), np.float32)
    cache = rt.OrtValue.ortvalue_from_numpy(np.zeros((1, 2, 8, 4), np.float32))
    binding = together.io_binding()
    binding.bind_ortvalue_input("past", cache)
    binding.bind_ortvalue_output("present", cache)
    binding.bind_output("scores")
    for at, x in enumerate(tokens(8)):
        position = np.array([at], np.int64)
        plain, scores = apart.run(None, {"past": plain, "fresh": x, "at": position})
        binding.bind_cpu_input("fresh", x)
        binding.bind_cpu_input("at", position)
        together.run_with_iobinding(binding)
        assert np.array_equal(cache.numpy(), plain)
        assert np.array_equal(binding.get_outputs()[1].numpy(), scores)
