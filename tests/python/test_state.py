"""State: what a session keeps between runs gives what feeding it back gives."""
import numpy as np
import pytest
import tenonrt as rt

from conftest import model

DECODER = """decoder (float[B,2,S,4] q, float[B,2,P,4] past_k, float[B,2,P,4] past_v, float[B,2,S,4] x) => (float[B,2,S,4] y, float[B,2,T,4] present_k, float[B,2,T,4] present_v) {
  present_k = Concat<axis = 2>(past_k, x)
  present_v = Concat<axis = 2>(past_v, q)
  kt = Transpose<perm = [0, 1, 3, 2]>(present_k)
  s = MatMul(q, kt)
  p = Softmax<axis = -1>(s)
  y = MatMul(p, present_v)
}"""


def session(kept=True, **entries):
    options = rt.SessionOptions()
    options.intra_op_num_threads = 1
    if kept:
        options.add_session_config_entry("session.state", '{"past_*": "present_*"}')
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    return rt.InferenceSession(model(DECODER), options)


def tokens(count, seed, batch=1):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((batch, 2, count, 4), np.float32) for name in ("q", "x")}


def fed_back(counts):
    plain = session(kept=False)
    past = {name: np.zeros((1, 2, 0, 4), np.float32) for name in ("past_k", "past_v")}
    for seed, count in enumerate(counts):
        y, k, v = plain.run(None, tokens(count, seed) | past)
        past = {"past_k": k, "past_v": v}
        yield y, k


def test_the_same_as_feeding_back():
    kept = session()
    assert [i.name for i in kept.get_inputs()] == ["q", "x"] and [o.name for o in kept.get_outputs()] == ["y"]
    counts = [5] + [1] * 40 + [3] + [1] * 5
    for seed, (count, (y, k)) in enumerate(zip(counts, fed_back(counts))):
        np.testing.assert_array_equal(kept.run(None, tokens(count, seed))[0], y)
    assert kept.state.rows == len(kept.state) == sum(counts)
    np.testing.assert_array_equal(kept.state.numpy("past_k"), k)


def test_conversations():
    kept = session(state_capacity=64)
    a, b = kept.new_state(), kept.new_state()
    first = kept.run(None, tokens(4, 0), state=a)[0]
    kept.run(None, tokens(7, 1), state=b)
    fork = a.copy()
    after = kept.run(None, tokens(1, 2), state=a)[0]
    np.testing.assert_array_equal(kept.run(None, tokens(1, 2), state=fork)[0], after)
    a.truncate(4)
    np.testing.assert_array_equal(kept.run(None, tokens(1, 2), state=a)[0], after)
    assert (a.rows, a.capacity, b.rows, kept.state.rows) == (5, 64, 7, 0)
    a.reset()
    np.testing.assert_array_equal(kept.run(None, tokens(4, 0), state=a)[0], first)
    binding = kept.io_binding()
    for name, value in tokens(1, 2).items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("y")
    kept.run_with_iobinding(binding, state=a)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], after)


def test_a_state_outlives_its_session():
    kept = session()
    kept.run(None, tokens(3, 0))
    own, other = kept.state, kept.new_state()
    kept.run(None, tokens(2, 0), state=other)
    del kept
    assert own.rows == 3 and other.rows == 2
    assert other.numpy("past_v").shape == (1, 2, 2, 4)


def test_misuse():
    kept, plain = session(), session(kept=False)
    with pytest.raises(rt.InvalidArgument, match="kept by the session's state"):
        kept.run(None, tokens(1, 0) | {"past_k": np.zeros((1, 2, 0, 4), np.float32)})
    with pytest.raises(rt.InvalidArgument, match="Invalid output name"):
        kept.run(["present_k"], tokens(1, 0))
    with pytest.raises(rt.InvalidArgument, match="another session"):
        kept.run(None, tokens(1, 0), state=session().state)
    kept.run(None, tokens(2, 0))
    with pytest.raises(rt.InvalidArgument, match=r"holds \[1,2,2,4\].*reset the state"):
        kept.run(None, tokens(1, 0, batch=3))
    with pytest.raises(rt.InvalidArgument, match="cannot go back to 3"):
        kept.state.truncate(3)
    kept.reset_state()
    kept.run(None, tokens(1, 0, batch=3))
    assert plain.state is None
    plain.reset_state()
    with pytest.raises(rt.Fail, match="/session/state names"):
        plain.new_state()
    with pytest.raises(rt.InvalidArgument, match="does not have"):
        options = rt.SessionOptions()
        options.add_session_config_entry("session.state", '{"past_*": "*"}')
        rt.InferenceSession(model(DECODER), options)
    with pytest.raises(rt.Error):
        rt.SessionOptions().add_session_config_entry("session.state", "[1]")
