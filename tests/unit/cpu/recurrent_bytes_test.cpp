// DynamicQuantizeLSTM.
#include <cmath>
#include <random>

#include "plugins/cpu/ops/recurrent_bytes.h"
#include "tests/unit/cpu/family_check.h"

namespace tenon::cpu::test {
namespace {

struct Form {
  std::int64_t steps, batch, input, hidden;
  const char* direction = "forward";
  bool lengths = false, state = false, is_signed = true, each_column = false, constant_bias = true;
  std::vector<Attr> attributes = {};
};

template <class T>
Tensor bytes(std::vector<std::int64_t> dims, std::uint32_t seed, int least, int greatest) {
  std::mt19937 random(seed);
  Tensor t{dtype_of<T>(), std::move(dims), {}, {}};
  for (std::int64_t i = t.count(); i > 0; --i) t.bytes.push_back(static_cast<char>(least + static_cast<int>(random() % static_cast<unsigned>(greatest - least + 1))));
  return t;
}

// Inputs are rounded to bytes but for the plain path: the tolerance is that of 8 bits.
void lstm(const Form& f) {
  const std::int64_t d = std::string(f.direction) == "bidirectional" ? 2 : 1, h = f.hidden;
  OpTest t({byte_recurrent_rows});
  t.input("x", random_tensor({f.steps, f.batch, f.input}, 1));
  const auto weight = [&](const std::string& name, std::int64_t depth, std::uint32_t seed) {
    const std::vector<std::int64_t> all = {d, depth, 4 * h}, each = f.each_column ? std::vector<std::int64_t>{d, 4 * h} : std::vector<std::int64_t>{d};
    t.constant(name, f.is_signed ? bytes<std::int8_t>(all, seed, -128, 127) : bytes<std::uint8_t>(all, seed, 0, 255));
    t.constant(name + "_zero", f.is_signed ? bytes<std::int8_t>(each, seed + 1, -3, 5) : bytes<std::uint8_t>(each, seed + 1, 120, 133));
    Tensor scale = random_tensor(each, seed + 2);
    std::vector<float> v = scale.as<float>();
    for (float& s : v) s = (1.2f + s) * 0.002f / std::sqrt(static_cast<float>(depth));
    t.constant(name + "_scale", tensor<float>(each, v));
  };
  weight("w", f.input, 10);
  weight("r", h, 20);
  if (f.constant_bias) t.constant("b", random_tensor({d, 8 * h}, 4));
  else t.input("b", random_tensor({d, 8 * h}, 4));
  std::vector<std::string> inputs = {"x", "w", "r", "b", "", "", "", "", "w_scale", "w_zero", "r_scale", "r_zero"};
  if (f.lengths) {
    std::vector<std::int32_t> lengths;
    for (std::int64_t i = 0; i < f.batch; ++i) lengths.push_back(static_cast<std::int32_t>((i * 5 + 1) % (f.steps + 1)));
    t.input("lengths", tensor<std::int32_t>({f.batch}, lengths));
    inputs[4] = "lengths";
  }
  if (f.state) {
    t.input("h0", random_tensor({d, f.batch, h}, 5));
    t.input("c0", random_tensor({d, f.batch, h}, 6));
    t.input("p", random_tensor({d, 3 * h}, 7));
    inputs[5] = "h0", inputs[6] = "c0", inputs[7] = "p";
  }
  t.value("y", TENON_DTYPE_FLOAT, {f.steps, d, f.batch, h});
  t.value("yh", TENON_DTYPE_FLOAT, {d, f.batch, h});
  t.value("yc", TENON_DTYPE_FLOAT, {d, f.batch, h});
  std::vector<Attr> attributes = f.attributes;
  attributes.emplace_back("hidden_size", h);
  attributes.emplace_back("direction", f.direction);
  t.node("DynamicQuantizeLSTM", inputs, {"y", "yh", "yc"}, attributes, "com.microsoft");
  check_paths(t, {"y", "yh", "yc"}, 5e-3);
  // Sums are exact, and the gates have as many lanes: the same bits.
  if (detect_isa() < Isa::avx512_vnni) return;
  const Results two = t.run({.isa = Isa::avx512});
  for (const std::uint32_t workers : {1u, 3u}) {
    const Results four = t.run({.isa = detect_isa(), .workers = workers, .threads = workers > 1});
    ASSERT_EQ(four.error, "");
    for (const char* name : {"y", "yh", "yc"}) EXPECT_EQ(two[name].bytes, four[name].bytes) << name;
  }
}

TEST(ByteRecurrent, EveryPathAgrees) {
  lstm({.steps = 5, .batch = 1, .input = 7, .hidden = 33});
  lstm({.steps = 4, .batch = 3, .input = 20, .hidden = 16, .direction = "bidirectional", .lengths = true, .state = true});
  lstm({.steps = 3, .batch = 19, .input = 5, .hidden = 40, .direction = "reverse", .lengths = true, .is_signed = false});
  lstm({.steps = 6, .batch = 2, .input = 9, .hidden = 50, .state = true, .each_column = true, .constant_bias = false});
  lstm({.steps = 5, .batch = 7, .input = 37, .hidden = 70, .direction = "bidirectional", .is_signed = false, .each_column = true});
  lstm({.steps = 3, .batch = 2, .input = 3, .hidden = 1, .attributes = {{"clip", 0.2f}}});
  lstm({.steps = 5, .batch = 3, .input = 7, .hidden = 35, .attributes = {{"input_forget", 1}}});
  lstm({.steps = 0, .batch = 2, .input = 3, .hidden = 4, .state = true});
}

// Products against plain sums, for rows of all counts, with sizes that leave parts of groups and panels empty.
TEST(ByteRecurrent, ProductsAreExact) {
  for (const Isa isa : {Isa::plain, Isa::avx2, Isa::avx512, Isa::avx512_vnni}) {
    if (isa > detect_isa()) continue;
    const IsaScope scope(isa);
    constexpr std::int64_t hidden = 37, depth = 21, rows = 7, width = 4 * hidden;
    BytePanels panels;
    RecurrentPacking& p = panels.packing;
    p.kind = RecurrentKind::lstm, p.gates = byte_gates, p.hidden = hidden, p.lanes = panel_lanes();
    panels.depth = depth, panels.group = byte_group(isa);
    const std::vector<std::uint8_t> w = bytes<std::uint8_t>({depth, width}, 1, 0, 255).as<std::uint8_t>();
    std::vector<std::int8_t> packed(panels.bytes());
    panels.pack(w.data(), true, packed.data());
    std::vector<int> zero_points(width);
    for (std::size_t j = 0; j < zero_points.size(); ++j) zero_points[j] = static_cast<int>(j % 256) - 128;
    std::vector<std::int32_t> zeros(static_cast<std::size_t>(p.columns()));
    std::vector<float> scales(zeros.size());
    panels.spread(zero_points.data(), true, zeros.data());
    const float one = 1;
    panels.spread(&one, false, scales.data());
    panels.weights = packed.data(), panels.zeros = zeros.data(), panels.scales = scales.data();

    std::vector<float> x(rows * depth);
    std::vector<std::uint8_t> q(static_cast<std::size_t>(rows * panels.row_bytes()));
    std::vector<ByteRow> made;
    constexpr std::int32_t zero = 100;
    for (std::int64_t r = 0; r < rows; ++r) {
      float* row = x.data() + r * depth;
      for (std::int64_t k = 0; k < depth; ++k) row[k] = static_cast<float>((k * 83 + r * 31) % 256 - zero);
      made.push_back(quantize_row(row, depth, {1, zero}, q.data() + r * panels.row_bytes()));
    }
    const std::int64_t row_floats = byte_gates * p.lanes;
    std::vector<float> out(static_cast<std::size_t>(rows * row_floats));
    for (std::int64_t panel = 0; panel < p.panels(); ++panel) {
      byte_panel_products(made.data(), rows, panels.panel(0, panel, nullptr), panels.groups(), panels.group, out.data(), row_floats);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t i = 0; i < row_floats; ++i) {
          const std::int64_t unit = panel * p.lanes + i % p.lanes, j = i / p.lanes * hidden + unit;
          if (unit >= hidden) continue;
          std::int64_t sum = 0;
          for (std::int64_t k = 0; k < depth; ++k)
            sum += static_cast<std::int64_t>(x[static_cast<std::size_t>(r * depth + k)]) *
                   (w[static_cast<std::size_t>(k * width + j)] - 128 - zero_points[static_cast<std::size_t>(j)]);
          ASSERT_EQ(out[static_cast<std::size_t>(r * row_floats + i)], static_cast<float>(sum)) << "row " << r << ", column " << j;
        }
      }
    }
  }
}

TEST(ByteRecurrent, ScalesAreThoseOfDynamicQuantizeLinear) {
  EXPECT_EQ(byte_scale(0, 0).scale, 1);
  EXPECT_EQ(byte_scale(0, 0).zero, 0);
  EXPECT_EQ(byte_scale(0, 7).zero, 0);
  EXPECT_EQ(byte_scale(-7, 0).zero, 255);
  EXPECT_FLOAT_EQ(byte_scale(-2, 3).scale, 5 / 255.0f);
  EXPECT_EQ(byte_scale(-2, 3).zero, 102);
}

TEST(ByteRecurrent, WrongLengthOrScaleFails) {
  for (const bool length : {true, false}) {
    OpTest t({byte_recurrent_rows});
    t.input("x", random_tensor({2, 1, 3}));
    t.constant("w", bytes<std::int8_t>({1, 3, 16}, 1, -9, 9));
    t.constant("r", bytes<std::int8_t>({1, 4, 16}, 2, -9, 9));
    t.constant("s", tensor<float>({length ? 1 : 3}, std::vector<float>(length ? 1 : 3, 0.1f)));
    t.constant("z", tensor<std::int8_t>({1}, {0}));
    t.input("n", tensor<std::int32_t>({1}, {length ? 3 : 2}));
    t.value("y", TENON_DTYPE_FLOAT, {2, 1, 1, 4});
    t.node("DynamicQuantizeLSTM", {"x", "w", "r", "", "n", "", "", "", "s", "z", "s", "z"}, {"y"}, {{"hidden_size", 4}}, "com.microsoft");
    EXPECT_EQ(t.run({.isa = detect_isa()}).code, TENON_INVALID_ARGUMENT);
    EXPECT_EQ(t.run({.plain = true}).code, TENON_INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace tenon::cpu::test
