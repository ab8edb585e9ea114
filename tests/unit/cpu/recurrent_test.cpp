// LSTM, GRU and RNN.
#include "plugins/cpu/ops/recurrent_kernels.h"
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

using testing::FloatNear;
using testing::Pointwise;

struct Form {
  const char* op;
  std::int64_t steps, batch, input, hidden;
  const char* direction = "forward";
  bool lengths = false, state = false, constant = true, batch_first = false;
  std::vector<Attr> attributes = {};
};

Tensor scaled(std::vector<std::int64_t> dims, std::uint32_t seed, float factor) {
  Tensor t = random_tensor(std::move(dims), seed);
  std::vector<float> v = t.as<float>();
  for (float& x : v) x *= factor;
  std::memcpy(t.bytes.data(), v.data(), t.bytes.size());
  return t;
}

void recurrent(const Form& f) {
  const std::string op = f.op;
  const bool lstm = op == "LSTM";
  const std::int64_t gates = lstm ? 4 : op == "GRU" ? 3 : 1, d = std::string(f.direction) == "bidirectional" ? 2 : 1, h = f.hidden;
  OpTest t({recurrent_rows});
  t.input("x", random_tensor(f.batch_first ? std::vector<std::int64_t>{f.batch, f.steps, f.input}
                                           : std::vector<std::int64_t>{f.steps, f.batch, f.input},
                             1));
  const auto weight = [&](const char* name, Tensor w) { f.constant ? t.constant(name, std::move(w)) : t.input(name, std::move(w)); };
  weight("w", scaled({d, gates * h, f.input}, 2, 0.4f));
  // Wide layers as trained ones are: larger weights would make the states chaotic.
  weight("r", scaled({d, gates * h, h}, 3, std::min(0.4f, 2 / std::sqrt(static_cast<float>(h)))));
  weight("b", random_tensor({d, 2 * gates * h}, 4));
  std::vector<std::string> inputs = {"x", "w", "r", "b", "", ""}, outputs = {"y", "yh"};
  if (f.lengths) {
    std::vector<std::int32_t> lengths;
    for (std::int64_t i = 0; i < f.batch; ++i) lengths.push_back(static_cast<std::int32_t>((i * 5 + 1) % (f.steps + 1)));
    t.input("lengths", tensor<std::int32_t>({f.batch}, lengths));
    inputs[4] = "lengths";
  }
  const std::vector<std::int64_t> state =
      f.batch_first ? std::vector<std::int64_t>{f.batch, d, h} : std::vector<std::int64_t>{d, f.batch, h};
  if (f.state) {
    t.input("h0", random_tensor(state, 5));
    inputs[5] = "h0";
    if (lstm) {
      t.input("c0", random_tensor(state, 6));
      t.input("p", random_tensor({d, 3 * h}, 7));
      inputs.insert(inputs.end(), {"c0", "p"});
    }
  }
  t.value("y", TENON_DTYPE_FLOAT,
          f.batch_first ? std::vector<std::int64_t>{f.batch, f.steps, d, h} : std::vector<std::int64_t>{f.steps, d, f.batch, h});
  t.value("yh", TENON_DTYPE_FLOAT, state);
  if (lstm) {
    t.value("yc", TENON_DTYPE_FLOAT, state);
    outputs.push_back("yc");
  }
  std::vector<Attr> attributes = f.attributes;
  attributes.insert(attributes.end(), {{"hidden_size", h}, {"direction", f.direction}, {"layout", f.batch_first ? 1 : 0}});
  t.node(op, inputs, outputs, attributes);
  check_paths(t, outputs, 2e-5);
}

TEST(Recurrent, EveryPathAgrees) {
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    recurrent({.op = op, .steps = 5, .batch = 1, .input = 7, .hidden = 33});
    recurrent({.op = op, .steps = 4, .batch = 3, .input = 20, .hidden = 16, .direction = "bidirectional", .lengths = true, .state = true});
    recurrent({.op = op, .steps = 3, .batch = 19, .input = 5, .hidden = 40, .direction = "reverse", .lengths = true, .constant = false});
    recurrent({.op = op, .steps = 6, .batch = 2, .input = 9, .hidden = 50, .state = true, .batch_first = true});
    recurrent({.op = op, .steps = 3, .batch = 2, .input = 3, .hidden = 1, .attributes = {{"clip", 0.2f}}});
    recurrent({.op = op, .steps = 0, .batch = 2, .input = 3, .hidden = 4, .state = true});
  }
  recurrent({.op = "GRU", .steps = 5, .batch = 3, .input = 7, .hidden = 35, .state = true, .attributes = {{"linear_before_reset", 1}}});
  recurrent({.op = "LSTM", .steps = 5, .batch = 3, .input = 7, .hidden = 35, .attributes = {{"input_forget", 1}}});
}

// Large enough for recurrent weights of three bytes, with sizes that leave parts of panels and of groups of weights empty.
TEST(Recurrent, CompactWeights) {
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    recurrent({.op = op, .steps = 6, .batch = 1, .input = 7, .hidden = 197, .direction = "bidirectional"});
    recurrent({.op = op, .steps = 3, .batch = 7, .input = 5, .hidden = 190, .lengths = true, .state = true});
  }
  recurrent({.op = "GRU", .steps = 5, .batch = 1, .input = 7, .hidden = 150, .attributes = {{"linear_before_reset", 1}}});
}

TEST(Recurrent, CompactWeightsAreNear) {
  const std::vector<float> values = {0, -0.0f, 1, -1, 0.3f, -0.7f, 0.9999999f, 0.00012345f, -3e-20f, -0.99999f, 0.99609375f, 1e-45f};
  const std::int64_t lanes = panel_lanes();
  std::vector<float> buffer(static_cast<std::size_t>(5 * lanes) + 16);
  float* const panel = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(buffer.data()) + 63) / 64 * 64);
  for (const float largest : {1.0f, 3e-30f, 1.3e9f}) {
    const float scale = compact_scale(largest);
    for (std::size_t i = 0; i < values.size() * values.size() * values.size() * values.size(); ++i) {
      float w[4], scaled[4], stored[3];
      std::size_t rest = i;
      for (int k = 0; k < 4; ++k, rest /= values.size()) w[k] = values[rest % values.size()] * largest, scaled[k] = w[k] / scale;
      encode_compact(scaled, stored);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        panel[lane] = scale;
        for (std::int64_t v = 0; v < 3; ++v) std::memcpy(panel + (v + 1) * lanes + lane, &stored[v], sizeof(float));
      }
      for (int k = 0; k < 4; ++k) {  // a state that picks one weight of a panel with one gate
        float row[4] = {};
        row[k] = 1;
        const float* h = row;
        alignas(64) float sums[max_panel_lanes];
        compact_panel_products(1, 1, &h, panel, 4, sums);
        ASSERT_NEAR(sums[0], w[k], k == 2 ? 0 : static_cast<double>(largest) * (k == 3 ? 0x1p-23 : 0x1p-19)) << w[k];
      }
    }
  }
}

TEST(Recurrent, Activations) {
  for (const char* name :
       {"Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"}) {
    recurrent(
        {.op = "RNN", .steps = 2, .batch = 2, .input = 5, .hidden = 20, .attributes = {{"activations", std::vector<std::string>{name}}}});
  }
}

TEST(Recurrent, Numbers) {
  OpTest t({recurrent_rows});
  t.input("x", tensor<float>({2, 1, 1}, {1, 2}));
  t.constant("w", tensor<float>({1, 1, 1}, {0.5f}));
  t.constant("r", tensor<float>({1, 1, 1}, {-1}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 1, 1, 1});
  t.node("RNN", {"x", "w", "r"}, {"y"}, {{"hidden_size", 1}});
  EXPECT_THAT(t.run({.isa = detect_isa()})["y"].as<float>(), Pointwise(FloatNear(1e-6f), {0.4621172f, 0.4913840f}));
}

TEST(Recurrent, WrongLengthFails) {
  OpTest t({recurrent_rows});
  t.input("x", random_tensor({2, 1, 3}));
  t.constant("w", random_tensor({1, 4, 3}));
  t.constant("r", random_tensor({1, 4, 4}));
  t.input("n", tensor<std::int32_t>({1}, {3}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 1, 1, 4});
  t.node("RNN", {"x", "w", "r", "", "n"}, {"y"}, {{"hidden_size", 4}});
  EXPECT_EQ(t.run({.isa = detect_isa()}).code, TENON_INVALID_ARGUMENT);
  EXPECT_EQ(t.run({.plain = true}).code, TENON_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace tenon::cpu::test
