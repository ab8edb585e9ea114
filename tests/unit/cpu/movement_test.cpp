// Reshape family, Transpose, Slice, Concat, Split, Expand, Tile, Pad, DepthToSpace, Trilu, fills, strings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::int64_t product(const Dims& dims) { return std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>()); }

template <class T>
Tensor counting(const Dims& dims) {
  std::vector<T> data(static_cast<std::size_t>(product(dims)));
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<T>(i * 7 % 251);
  return tensor<T>(dims, data);
}
Tensor words(const Dims& dims) {
  std::vector<std::string> data;
  for (std::int64_t i = 0; i < product(dims); ++i) data.push_back("word " + std::to_string(i));
  return tensor<std::string>(dims, data);
}

// out[i] = x[source(index of i)]; source gives -1 for zero.
Tensor mapped(const Tensor& x, const Dims& dims, const std::function<std::int64_t(const Dims&)>& source) {
  Tensor y{x.dtype, dims, {}, {}};
  const std::size_t size = x.count() ? x.bytes.size() / static_cast<std::size_t>(x.count()) : 0;
  Dims index(dims.size(), 0);
  for (std::int64_t i = 0; i < product(dims); ++i) {
    std::int64_t rest = i;
    for (std::size_t d = dims.size(); d-- > 0; rest /= dims[d]) index[d] = rest % dims[d];
    const std::int64_t from = source(index);
    if (x.dtype == TENON_DTYPE_STRING) y.strings.push_back(from < 0 ? "" : x.strings[static_cast<std::size_t>(from)]);
    else if (from < 0) y.bytes.insert(y.bytes.end(), size, 0);
    else
      y.bytes.insert(y.bytes.end(), x.bytes.begin() + from * static_cast<std::int64_t>(size),
                     x.bytes.begin() + (from + 1) * static_cast<std::int64_t>(size));
  }
  return y;
}
std::int64_t offset(const Dims& dims, const Dims& index) {
  std::int64_t at = 0;
  for (std::size_t d = 0; d < dims.size(); ++d) at = at * dims[d] + index[d];
  return at;
}

void expect_same(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dims, b.dims);
  EXPECT_EQ(a.strings, b.strings);
  if (a.dtype != TENON_DTYPE_STRING) {
    EXPECT_EQ(a.bytes, b.bytes);
  }
}

// One node with data input "x"; further inputs known or read at run time; all ways of running it must agree.
struct Case {
  std::string op;
  Tensor x;
  std::vector<std::pair<std::string, Tensor>> more = {};
  std::vector<Attr> attributes = {};
  bool late = true;  // the run may be the first to know the further inputs
};
void check(const Case& c, const Tensor& expected) {
  for (bool known : {true, false}) {
    if (!known && !c.late) continue;
    for (std::uint32_t workers : {1u, 2u, 5u}) {
      OpTest t({movement_rows});
      std::vector<std::string> inputs{"x"};
      t.input("x", c.x);
      for (const auto& [name, value] : c.more) {
        inputs.push_back(name);
        if (known) t.known_input(name, value);
        else if (!name.empty()) t.input(name, value);
      }
      t.value("y", expected.dtype, expected.dims);
      t.node(c.op, inputs, {"y"}, c.attributes);
      const Results r = t.run({.plain = workers == 2, .workers = workers, .inplace = workers == 5});
      ASSERT_EQ(r.error, "") << c.op;
      expect_same(r["y"], expected);
    }
  }
}

// ---- Reshape family, Shape --------------------------------------------------------------------------------------------

TEST(Reshape, IsACopyOnlyWhereTheOutputIsMemoryOfItsOwn) {
  check({"Reshape", counting<float>({2, 6}), {{"s", tensor<std::int64_t>({2}, {3, 4})}}},
        Tensor{TENON_DTYPE_FLOAT, {3, 4}, counting<float>({2, 6}).bytes, {}});
  check({"Flatten", words({2, 3})}, Tensor{TENON_DTYPE_STRING, {2, 3}, {}, words({2, 3}).strings});
  check({"Identity", counting<std::int8_t>({0, 3})}, Tensor{TENON_DTYPE_INT8, {0, 3}, {}, {}});
  OpTest t({movement_rows});
  t.input("x", tensor<float>({1}, {1}));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1});
  t.node("Unsqueeze", {"x"}, {"y"});
  const OpRow* row = nullptr;
  for (const OpRow& r : movement_rows())
    if (std::string_view(r.op_type) == "Unsqueeze") row = &r;
  ASSERT_TRUE(row);
  EXPECT_EQ(make_copy()->alias_of(), 0);
}

TEST(Reshape, PackedElementsMoveAsBytes) {
  const Tensor x = tensor<std::uint8_t>({3}, {0x21, 0x03}, TENON_DTYPE_INT4);
  check({"Reshape", x}, Tensor{TENON_DTYPE_INT4, {3, 1}, x.bytes, {}});
}

TEST(Shape, TakesARangeOfDims) {
  check({"Shape", counting<float>({2, 3, 4}), {}, {{"start", -2}}}, tensor<std::int64_t>({2}, {3, 4}));
  check({"Shape", counting<float>({2, 3, 4}), {}, {{"start", 0}, {"end", 9}}}, tensor<std::int64_t>({3}, {2, 3, 4}));
  check({"Size", counting<float>({2, 3, 4})}, tensor<std::int64_t>({}, {24}));
}

// ---- Transpose --------------------------------------------------------------------------------------------------------

void check_transpose(const Tensor& x, const Dims& perm) {
  Dims dims;
  for (std::int64_t p : perm) dims.push_back(x.dims[static_cast<std::size_t>(p)]);
  check({"Transpose", x, {}, {{"perm", perm}}}, mapped(x, dims, [&](const Dims& i) {
          Dims from(i.size());
          for (std::size_t d = 0; d < i.size(); ++d) from[static_cast<std::size_t>(perm[d])] = i[d];
          return offset(x.dims, from);
        }));
}

TEST(Transpose, EveryPermutationOfFourDims) {
  Dims perm{0, 1, 2, 3};
  do {
    check_transpose(counting<float>({2, 3, 5, 4}), perm);
    check_transpose(counting<std::uint8_t>({3, 4, 2, 17}), perm);
  } while (std::next_permutation(perm.begin(), perm.end()));
}

TEST(Transpose, TilesOfEveryElementSize) {
  for (const Dims& dims : {Dims{1, 1}, Dims{3, 130}, Dims{67, 33}, Dims{64, 80}, Dims{600, 5}}) {
    check_transpose(counting<std::uint8_t>(dims), {1, 0});
    check_transpose(counting<std::int16_t>(dims), {1, 0});
    check_transpose(counting<float>(dims), {1, 0});
    check_transpose(counting<double>(dims), {1, 0});
  }
  check_transpose(counting<float>({3, 20, 40}), {2, 0, 1});
  check_transpose(counting<float>({2, 3, 18, 2}), {2, 1, 0, 3});
  check_transpose(words({3, 4}), {1, 0});
  check_transpose(counting<float>({3, 0, 4}), {2, 1, 0});
}

TEST(Transpose, ReversesWithoutPerm) {
  check({"Transpose", tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6})}, tensor<float>({3, 2}, {1, 4, 2, 5, 3, 6}));
  check({"Transpose", tensor<std::uint8_t>({2, 3}, {0x21, 0x43, 0x65}, TENON_DTYPE_UINT4)},
        tensor<std::uint8_t>({3, 2}, {0x41, 0x52, 0x63}, TENON_DTYPE_UINT4));
  check({"Transpose", tensor<std::uint8_t>({3, 1}, {0x21, 0x03}, TENON_DTYPE_UINT4)},
        tensor<std::uint8_t>({1, 3}, {0x21, 0x03}, TENON_DTYPE_UINT4));
  OpTest t({movement_rows});
  t.input("x", counting<float>({2, 3}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 3});
  t.node("Transpose", {"x"}, {"y"}, {{"perm", Dims{0, 0}}});
  EXPECT_EQ(t.run().code, TENON_INVALID_ARGUMENT);
}

// ---- Slice ------------------------------------------------------------------------------------------------------------

Tensor ints(const Dims& values) { return tensor<std::int64_t>({static_cast<std::int64_t>(values.size())}, values); }

TEST(Slice, ClampsByTheSignOfTheStep) {
  const Tensor x = tensor<float>({5}, {0, 1, 2, 3, 4});
  const auto sliced = [&](std::int64_t start, std::int64_t end, std::int64_t step, std::vector<float> expected) {
    check({"Slice", x, {{"s", ints({start})}, {"e", ints({end})}, {"a", ints({0})}, {"t", ints({step})}}},
          tensor<float>({static_cast<std::int64_t>(expected.size())}, expected));
  };
  sliced(1, 100, 1, {1, 2, 3, 4});
  sliced(-2, INT64_MAX, 1, {3, 4});
  sliced(10, 0, 1, {});
  sliced(-1, INT64_MIN, -1, {4, 3, 2, 1, 0});
  sliced(INT64_MAX, 1, -2, {4, 2});
  sliced(3, -9, -2, {3, 1});
  sliced(0, 5, INT64_MAX, {0});
  sliced(4, INT64_MIN, INT64_MIN, {4});
  sliced(INT64_MIN, 2, 1, {0, 1});
}

TEST(Slice, SeveralAxesAndTypes) {
  const Dims dims{4, 5, 6}, out{2, 5, 3};
  for (const Tensor& x : {counting<float>(dims), counting<std::int64_t>(dims), words(dims)})
    check({"Slice",
           x,
           {{"s", tensor<std::int32_t>({2}, {-1, 1})},
            {"e", tensor<std::int32_t>({2}, {0, 4})},
            {"a", tensor<std::int32_t>({2}, {0, -1})},
            {"t", tensor<std::int32_t>({2}, {-2, 1})}}},
          mapped(x, out, [&](const Dims& i) {
            return offset(dims, {3 - 2 * i[0], i[1], 1 + i[2]});
          }));
}

TEST(Slice, RefusesWhatDoesNotGiveThePlannedSize) {
  for (bool known : {true, false}) {
    for (std::int64_t step : {0, 1}) {
      OpTest t({movement_rows});
      t.input("x", counting<float>({5}));
      for (auto [name, value] : {std::pair{"s", std::int64_t{0}}, {"e", std::int64_t{3}}, {"a", std::int64_t{0}}, {"t", step}})
        known ? t.known_input(name, ints({value})) : t.input(name, ints({value}));
      t.value("y", TENON_DTYPE_FLOAT, {4});
      t.node("Slice", {"x", "s", "e", "a", "t"}, {"y"});
      EXPECT_EQ(t.run({.workers = 2}).code, TENON_INVALID_ARGUMENT);
    }
  }
}

// ---- Concat, Split ----------------------------------------------------------------------------------------------------

TEST(Concat, AnyAxisAnyType) {
  for (std::int64_t axis : {0, 1, -1}) {
    const std::size_t at = axis < 0 ? 2 : static_cast<std::size_t>(axis);
    std::vector<Dims> parts(3, Dims{2, 3, 4});
    parts[1][at] = 1, parts[2][at] = 0;
    Dims dims{2, 3, 4};
    dims[at] += 1;
    for (bool text : {false, true}) {
      OpTest t({movement_rows});
      std::vector<Tensor> xs;
      for (std::size_t i = 0; i < 3; ++i) {
        xs.push_back(text ? words(parts[i]) : counting<std::int16_t>(parts[i]));
        t.input("x" + std::to_string(i), xs.back());
      }
      t.value("y", xs[0].dtype, dims);
      t.node("Concat", {"x0", "x1", "x2"}, {"y"}, {{"axis", axis}});
      const Results r = t.run({.workers = 3});
      ASSERT_EQ(r.error, "");
      const std::int64_t first = parts[0][at];
      const Tensor head = mapped(xs[0], dims, [&](const Dims& i) { return i[at] < first ? offset(parts[0], i) : -1; });
      const Tensor tail = mapped(xs[1], dims, [&](Dims i) { return i[at] < first ? -1 : (i[at] -= first, offset(parts[1], i)); });
      for (std::size_t i = 0; i < head.strings.size(); ++i) EXPECT_EQ(r["y"].strings[i], head.strings[i] + tail.strings[i]);
      for (std::size_t i = 0; i < head.bytes.size(); ++i) EXPECT_EQ(r["y"].bytes[i], head.bytes[i] | tail.bytes[i]);
    }
  }
}

TEST(Split, UnevenPiecesAndOnesThatNobodyReads) {
  for (const char* wanted : {"b", ""}) {
    OpTest t({movement_rows});
    t.input("x", tensor<float>({2, 5}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    t.known_input("sizes", ints({2, 2, 1}));
    t.value("a", TENON_DTYPE_FLOAT, {2, 2});
    if (*wanted) t.value("b", TENON_DTYPE_FLOAT, {2, 2});
    t.value("c", TENON_DTYPE_FLOAT, {2, 1});
    t.node("Split", {"x", "sizes"}, {"a", wanted, "c"}, {{"axis", -1}});
    const Results r = t.run({.workers = 2});
    ASSERT_EQ(r.error, "");
    EXPECT_THAT(r["a"].as<float>(), ElementsAre(0, 1, 5, 6));
    EXPECT_THAT(r["c"].as<float>(), ElementsAre(4, 9));
  }
}

// NHWC to NCHW makes a blocked value, where the block fits; what follows must give the same numbers as without blocks.
TEST(Blocks, StayThroughConcatSplitPadAndTranspose) {
  for (std::int32_t block : {0, 8, 16}) {
    for (std::uint32_t workers : {1u, 3u}) {
      OpTest t({movement_rows});
      const Dims nhwc{2, 3, 5, 32};
      t.input("x", counting<float>(nhwc));
      t.input("z", counting<float>({2, 16, 3, 5}));
      t.constant("pads", ints({0, 0, 1, 2, 0, 0, 1, 1}));
      t.value("a", TENON_DTYPE_FLOAT, {2, 32, 3, 5});
      t.value("b", TENON_DTYPE_FLOAT, {2, 48, 3, 5});
      t.value("c", TENON_DTYPE_FLOAT, {2, 16, 3, 5});
      t.value("d", TENON_DTYPE_FLOAT, {2, 32, 3, 5});
      t.value("e", TENON_DTYPE_FLOAT, {2, 16, 5, 8});
      t.value("f", TENON_DTYPE_FLOAT, {2, 5, 8, 16});
      t.node("Transpose", {"x"}, {"a"}, {{"perm", Dims{0, 3, 1, 2}}});
      t.node("Concat", {"a", "z"}, {"b"}, {{"axis", 1}});
      t.node("Split", {"b"}, {"c", "d"}, {{"axis", 1}});
      t.node("Pad", {"c", "pads"}, {"e"}, {{"mode", "reflect"}});
      t.node("Transpose", {"e"}, {"f"}, {{"perm", Dims{0, 2, 3, 1}}});
      const Results r = t.run({.workers = workers, .block = block});
      ASSERT_EQ(r.error, "");
      const Tensor x = counting<float>(nhwc);
      const auto channel = [&](std::int64_t c, const Dims& i) { return offset(nhwc, {i[0], i[2], i[3], c + i[1]}); };
      expect_same(r["c"], mapped(x, {2, 16, 3, 5}, [&](const Dims& i) { return channel(0, i); }));
      const auto mirrored = [](std::int64_t i, std::int64_t n) { return i < 0 ? -i : i < n ? i : 2 * n - 2 - i; };
      expect_same(r["f"], mapped(x, {2, 5, 8, 16}, [&](const Dims& i) {
                    return channel(0, {i[0], i[3], mirrored(i[1] - 1, 3), mirrored(i[2] - 2, 5)});
                  }));
      const Tensor tail = r["d"];
      expect_same(tail, mapped(tail, tail.dims, [&](const Dims& i) { return offset(tail.dims, i); }));
      EXPECT_EQ(tail.as<float>()[0], x.as<float>()[16]);
      EXPECT_EQ(tail.as<float>()[16 * 15], 0);
    }
  }
}

// ---- Expand, Tile, Pad, DepthToSpace ----------------------------------------------------------------------------------

TEST(Expand, BothWays) {
  const Tensor x = counting<float>({3, 1});
  check({"Expand", x, {{"s", ints({2, 1, 4})}}}, mapped(x, {2, 3, 4}, [](const Dims& i) { return i[1]; }));
  check({"Expand", words({1}), {{"s", ints({3})}}}, mapped(words({1}), {3}, [](const Dims&) { return 0; }));
  check({"Expand", tensor<float>({}, {4}), {{"s", ints({0})}}}, tensor<float>({0}, {}));
}

TEST(Tile, RepeatsEveryDim) {
  const Tensor x = counting<std::uint8_t>({2, 3});
  check({"Tile", x, {{"r", ints({2, 3})}}}, mapped(x, {4, 9}, [](const Dims& i) { return i[0] % 2 * 3 + i[1] % 3; }));
}

TEST(Pad, EveryMode) {
  const Tensor x = tensor<float>({1, 4}, {1, 2, 3, 4});
  const auto padded = [&](const char* mode, std::vector<float> expected, Dims pads = {0, 2, 0, 3}) {
    check({"Pad", x, {{"p", ints(pads)}}, {{"mode", mode}}}, tensor<float>({1, static_cast<std::int64_t>(expected.size())}, expected));
  };
  padded("constant", {0, 0, 1, 2, 3, 4, 0, 0, 0});
  padded("edge", {1, 1, 1, 2, 3, 4, 4, 4, 4});
  padded("reflect", {3, 2, 1, 2, 3, 4, 3, 2, 1});
  padded("wrap", {3, 4, 1, 2, 3, 4, 1, 2, 3});
  padded("constant", {2, 3, 4, 0}, {0, -1, 0, 1});
  padded("reflect", {3, 4, 3, 2, 1, 2, 3, 4, 3, 2}, {0, 4, 0, 2});
}

TEST(Pad, ValueAxesAndStrings) {
  check({"Pad", tensor<std::int32_t>({2, 2}, {1, 2, 3, 4}), {{"p", ints({1, 0})}, {"v", tensor<std::int32_t>({}, {9})}, {"a", ints({-2})}}},
        tensor<std::int32_t>({3, 2}, {9, 9, 1, 2, 3, 4}));
  check({"Pad", tensor<std::string>({2}, {"a", "b"}), {{"p", ints({1, 1})}, {"v", tensor<std::string>({}, {"-"})}}, {}, true},
        tensor<std::string>({4}, {"-", "a", "b", "-"}));
}

TEST(Pad, RefusesPadsOfAnotherSize) {
  for (bool known : {true, false}) {
    OpTest t({movement_rows});
    t.input("x", counting<float>({3}));
    known ? t.known_input("p", ints({1, INT64_MAX})) : t.input("p", ints({1, INT64_MAX}));
    t.value("y", TENON_DTYPE_FLOAT, {5});
    t.node("Pad", {"x", "p"}, {"y"});
    EXPECT_EQ(t.run().code, TENON_INVALID_ARGUMENT);
  }
}

TEST(DepthSpace, BothModesAreInverses) {
  for (const char* mode : {"DCR", "CRD"}) {
    const Tensor x = counting<float>({2, 12, 3, 5});
    const bool depth_first = std::string(mode) == "DCR";
    const Tensor y = mapped(x, {2, 3, 6, 10}, [&](const Dims& i) {
      const std::int64_t block = i[2] % 2 * 2 + i[3] % 2;
      return offset(x.dims, {i[0], depth_first ? block * 3 + i[1] : i[1] * 4 + block, i[2] / 2, i[3] / 2});
    });
    check({"DepthToSpace", x, {}, {{"blocksize", 2}, {"mode", mode}}}, y);
    check({"SpaceToDepth", y, {}, {{"blocksize", 2}, {"mode", mode}}}, x);
  }
}

TEST(CenterCropPad, CropsAndPads) {
  check({"CenterCropPad", tensor<float>({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), {{"s", ints({2, 5})}}},
        tensor<float>({2, 5}, {0, 2, 3, 0, 0, 0, 4, 5, 0, 0}));
}

// ---- rows that are reordered, fills -------------------------------------------------------------------------------------

TEST(ReverseSequence, ChecksLengths) {
  check({"ReverseSequence", tensor<float>({3, 2}, {0, 1, 2, 3, 4, 5}), {{"n", ints({2, 3})}}, {{"time_axis", 0}, {"batch_axis", 1}}},
        tensor<float>({3, 2}, {2, 5, 0, 3, 4, 1}));
  OpTest t({movement_rows});
  t.input("x", counting<float>({2, 3}));
  t.input("n", ints({3, 4}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 3});
  t.node("ReverseSequence", {"x", "n"}, {"y"}, {{"time_axis", 1}, {"batch_axis", 0}});
  const Results r = t.run({.workers = 2});
  EXPECT_EQ(r.code, TENON_OUT_OF_RANGE);
  EXPECT_THAT(r.error, HasSubstr("length 4 of sequence 1"));
}

TEST(Trilu, KeepsOneSide) {
  const Tensor x = tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  check({"Trilu", x, {}, {{"upper", 1}}}, tensor<float>({2, 3}, {1, 2, 3, 0, 5, 6}));
  check({"Trilu", x, {{"k", tensor<std::int64_t>({}, {1})}}, {{"upper", 0}}}, tensor<float>({2, 3}, {1, 2, 0, 4, 5, 6}));
  check({"Trilu", x, {{"k", tensor<std::int64_t>({}, {INT64_MIN})}}, {{"upper", 0}}}, tensor<float>({2, 3}, {0, 0, 0, 0, 0, 0}));
}

TEST(Fill, ConstantEyeAndRange) {
  check({"ConstantOfShape", ints({3}), {}, {{"value", tensor<std::int16_t>({1}, {7})}}}, tensor<std::int16_t>({3}, {7, 7, 7}));
  check({"ConstantOfShape", ints({3}), {}, {{"value", tensor<std::uint8_t>({1}, {0x0e}, TENON_DTYPE_INT4)}}},
        tensor<std::uint8_t>({3}, {0xee, 0x0e}, TENON_DTYPE_INT4));
  check({"ConstantOfShape", ints({2}), {}, {{"value", tensor<std::uint16_t>({1}, {0x3e00}, TENON_DTYPE_FLOAT16)}}},
        tensor<std::uint16_t>({2}, {0x3e00, 0x3e00}, TENON_DTYPE_FLOAT16));
  check({"ConstantOfShape", ints({0})}, tensor<float>({0}, {}));
  check({"EyeLike", counting<float>({2, 3}), {}, {{"k", 1}}}, tensor<std::int32_t>({2, 3}, {0, 1, 0, 0, 0, 1}));
  check({"Range", tensor<float>({}, {1}), {{"l", tensor<float>({}, {2})}, {"d", tensor<float>({}, {0.25f})}}},
        tensor<float>({4}, {1, 1.25f, 1.5f, 1.75f}));
  check({"Range", tensor<std::int64_t>({}, {3}), {{"l", tensor<std::int64_t>({}, {-3})}, {"d", tensor<std::int64_t>({}, {-2})}}},
        tensor<std::int64_t>({3}, {3, 1, -1}));
}

// ---- strings ----------------------------------------------------------------------------------------------------------

Results run_text(const std::string& op, const Tensor& x, std::vector<Attr> attributes, const Dims& y, const Dims& z = {},
                 std::int32_t dtype = TENON_DTYPE_STRING) {
  OpTest t({movement_rows});
  t.input("x", x);
  t.value("y", dtype, y);
  if (!z.empty()) t.value("z", TENON_DTYPE_INT64, z);
  t.node(op, {"x"}, z.empty() ? std::vector<std::string>{"y"} : std::vector<std::string>{"y", "z"}, std::move(attributes));
  return t.run({.workers = 2});
}

TEST(Strings, Concat) {
  check({"StringConcat", tensor<std::string>({2, 1}, {"a", "b"}), {{"z", tensor<std::string>({2}, {"1", ""})}}},
        tensor<std::string>({2, 2}, {"a1", "a", "b1", "b"}));
}

TEST(Strings, NormalizerChangesCaseOfAnyLetterAndDropsStopWords) {
  const Tensor x = tensor<std::string>({4}, {"Ärger", "monday", "the", "MONDAY"});
  EXPECT_THAT(
      run_text("StringNormalizer", x,
               {{"case_change_action", "UPPER"}, {"is_case_sensitive", 1}, {"stopwords", std::vector<std::string>{"monday"}}}, {-1})["y"]
          .strings,
      ElementsAre("ÄRGER", "THE", "MONDAY"));
  EXPECT_THAT(
      run_text("StringNormalizer", x,
               {{"case_change_action", "LOWER"}, {"is_case_sensitive", 0}, {"stopwords", std::vector<std::string>{"Monday"}}}, {-1})["y"]
          .strings,
      ElementsAre("ärger", "the"));
  const Results none = run_text("StringNormalizer", tensor<std::string>({1, 1}, {"a"}),
                                {{"is_case_sensitive", 1}, {"stopwords", std::vector<std::string>{"a"}}}, {-1, -1});
  EXPECT_THAT(none["y"].strings, ElementsAre(""));
  EXPECT_THAT(none["y"].dims, ElementsAre(1, 1));
}

TEST(Strings, SplitAsPythonDoes) {
  const Tensor x = tensor<std::string>({3}, {" a  b c", "", "d"});
  Results r = run_text("StringSplit", x, {}, {-1, -1}, {-1});
  EXPECT_THAT(r["y"].strings, ElementsAre("a", "b", "c", "", "", "", "d", "", ""));
  EXPECT_THAT(r["z"].as<std::int64_t>(), ElementsAre(3, 0, 1));
  r = run_text("StringSplit", tensor<std::string>({2}, {"a,,b,c", ""}), {{"delimiter", ","}, {"maxsplit", 2}}, {-1, -1}, {-1});
  EXPECT_THAT(r["y"].strings, ElementsAre("a", "", "b,c", "", "", ""));
  EXPECT_THAT(r["z"].as<std::int64_t>(), ElementsAre(3, 1));
}

TEST(Strings, RegexMatchesAllOfTheText) {
  const Results r =
      run_text("RegexFullMatch", tensor<std::string>({3}, {"ab", "abc", "\xff"}), {{"pattern", "a[a-z]"}}, {3}, {}, TENON_DTYPE_BOOL);
  EXPECT_THAT(r["y"].as<bool>(), ElementsAre(true, false, false));
  EXPECT_THAT(run_text("RegexFullMatch", tensor<std::string>({1}, {"a"}), {{"pattern", "("}}, {1}, {}, TENON_DTYPE_BOOL).error,
              HasSubstr("refused"));
}

TEST(Strings, TfIdfCountsSkipGrams) {
  const std::vector<Attr> attributes{{"mode", "TF"}, {"min_gram_length", 2}, {"max_gram_length", 2}, {"max_skip_count", 5},
                                     {"ngram_counts", Dims{0, 4}}, {"ngram_indexes", Dims{0, 1, 2, 3, 4, 5, 6}},
                                     {"pool_int64s", Dims{2, 3, 5, 4, 5, 6, 7, 8, 6, 7}}};
  OpTest t({movement_rows});
  t.input("x", tensor<std::int32_t>({2, 6}, {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8}));
  t.value("y", TENON_DTYPE_FLOAT, {2, 7});
  t.node("TfIdfVectorizer", {"x"}, {"y"}, attributes);
  const Results r = t.run({.workers = 2});
  ASSERT_EQ(r.error, "");
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1));
}

}  // namespace
}  // namespace tenon::cpu::test
