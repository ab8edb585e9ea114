// Gather*, Scatter*, TensorScatter, OneHot, Compress, NonZero, Unique, NonMaxSuppression, random numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Tensor ints(const Dims& dims, const Dims& values) { return tensor<std::int64_t>(dims, values); }
template <class T>
Tensor counting(const Dims& dims) {
  std::vector<T> data(static_cast<std::size_t>(Tensor{0, dims, {}, {}}.count()));
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<T>(i % 251);
  return tensor<T>(dims, data);
}

Results run(const std::string& op, const std::vector<Tensor>& inputs, const Tensor& like, std::vector<Attr> attributes = {},
            RunOptions options = {}) {
  OpTest t({gather_rows, random_rows});
  std::vector<std::string> names;
  for (const Tensor& x : inputs) {
    names.push_back("x" + std::to_string(names.size()));
    t.input(names.back(), x);
  }
  t.value("y", like.dtype, like.dims);
  t.node(op, names, {"y"}, std::move(attributes));
  return t.run(options);
}
void check(const std::string& op, const std::vector<Tensor>& inputs, const Tensor& expected, std::vector<Attr> attributes = {}) {
  for (std::uint32_t workers : {1u, 2u, 7u}) {
    const Results r = run(op, inputs, expected, attributes, {.workers = workers, .threads = true, .inplace = workers == 2});
    ASSERT_EQ(r.error, "") << op;
    EXPECT_EQ(r["y"].strings, expected.strings) << op;
    if (expected.dtype != TENON_DTYPE_STRING) {
      EXPECT_EQ(r["y"].bytes, expected.bytes) << op;
    }
  }
}

// ---- gather -----------------------------------------------------------------------------------------------------------

// A float32 copy would take twice the table's memory beside it.
TEST(Gather, RowsOfLargeHalfTablesAreWidenedAsTheyAreRead) {
  constexpr std::int64_t width = 100;
  const Tensor at = tensor<std::int32_t>({4}, {399, 0, -1, 7});
  for (const std::int32_t dtype : {TENON_DTYPE_FLOAT16, TENON_DTYPE_BFLOAT16}) {
    const Tensor table = tensor<std::uint16_t>({400, width}, counting<std::uint16_t>({400, width}).as<std::uint16_t>(), dtype);
    std::vector<std::uint16_t> expected;
    for (std::int64_t row : {399, 0, 399, 7})
      for (std::int64_t k = 0; k < width; ++k) expected.push_back(table.as<std::uint16_t>()[static_cast<std::size_t>(row * width + k)]);
    for (const Isa isa : {Isa::avx2, Isa::avx512}) {
      if (detect_isa() < isa) continue;
      OpTest t({});
      t.constant("table", table);
      t.input("at", at);
      t.value("y", dtype, {4, width});
      t.node("Gather", {"table", "at"}, {"y"});
      for (std::uint32_t workers : {1u, 7u}) {
        const ProgramResults r = run_program(t, {"y"}, {.isa = isa, .workers = workers});
        ASSERT_EQ(r.error, "");
        EXPECT_EQ(r["y"].as<std::uint16_t>(), expected);
      }
      const std::uint32_t in[] = {t.index("at")}, out[] = {t.index("y")}, nodes[] = {0};
      const tenon_chosen chosen[] = {{sizeof(tenon_chosen), 1, nodes, 0}};
      const tenon_part part{sizeof(part), 0, &t.graph(), {chosen, 1, sizeof(tenon_chosen), 0}, in, out, 1, 1};
      tenon_task load;
      load.constant = [&](std::uint64_t id) { return t.constant_bytes(id); };
      const auto program = Program::compile({&fake_host(), nullptr}, {.isa = isa}, part, &load);
      EXPECT_THAT(load.packed, IsEmpty());
      ASSERT_EQ(program->constants.size(), 1u);
      EXPECT_EQ(program->constants[0]->data.load(), nullptr);  // no copy of the program's own
    }
  }
}
TEST(Gather, NamesTheIndexOutsideAHalfTable) {
  OpTest t({});
  t.constant("table", tensor<std::uint16_t>({400, 100}, std::vector<std::uint16_t>(40000), TENON_DTYPE_FLOAT16));
  t.input("at", ints({2}, {3, 400}));
  t.value("y", TENON_DTYPE_FLOAT16, {2, 100});
  t.node("Gather", {"table", "at"}, {"y"});
  EXPECT_THAT(run_program(t, {"y"}, {.isa = detect_isa()}).error, HasSubstr("Gather: index 400 at position 1 is outside [-400, 400)"));
}

TEST(Gather, RowsOfEveryWidth) {
  for (std::int64_t width : {1, 2, 3, 4, 100}) {
    const Tensor x = counting<float>({5, width});
    std::vector<float> expected;
    for (std::int64_t row : {4, 0, 2})
      for (std::int64_t k = 0; k < width; ++k) expected.push_back(x.as<float>()[static_cast<std::size_t>(row * width + k)]);
    check("Gather", {x, tensor<std::int32_t>({3}, {4, 0, -3})}, tensor<float>({3, width}, expected));
  }
}

TEST(Gather, AnyAxisAndType) {
  check("Gather", {tensor<float>({2, 3}, {1, 2, 3, 4, 5, 6}), ints({2}, {2, 0})}, tensor<float>({2, 2}, {3, 1, 6, 4}), {{"axis", 1}});
  check("Gather", {tensor<std::string>({3}, {"a", "b", "c"}), ints({1, 2}, {-1, 0})}, tensor<std::string>({1, 2}, {"c", "a"}));
  check("Gather", {tensor<std::uint8_t>({4}, {0x21, 0x43}, TENON_DTYPE_UINT4), ints({4}, {3, 1, 0, 0})},
        tensor<std::uint8_t>({4}, {0x24, 0x11}, TENON_DTYPE_UINT4));
  check("Gather", {counting<float>({0, 3}), ints({0}, {})}, tensor<float>({0, 3}, {}));
}

TEST(Gather, KnownSingleIndexIsASlice) {
  OpTest t({gather_rows});
  t.input("x", counting<float>({4, 3}));
  t.constant("i", ints({}, {-1}));
  t.value("y", TENON_DTYPE_FLOAT, {4});
  t.node("Gather", {"x", "i"}, {"y"}, {{"axis", 1}});
  EXPECT_THAT(t.run()["y"].as<float>(), ElementsAre(2, 5, 8, 11));
}

TEST(Gather, KnownPlacesInManyRows) {
  constexpr std::int64_t rows = 19, width = 23;
  for (const std::int64_t inner : {1, 2, 4}) {
    const Tensor x = counting<float>({rows, width, inner});
    const std::vector<std::int64_t> places = {22, -1, 0, 7, -23, 7, 11};
    std::vector<float> expected;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t p : places)
        for (std::int64_t k = 0; k < inner; ++k)
          expected.push_back(x.as<float>()[static_cast<std::size_t>((r * width + (p < 0 ? p + width : p)) * inner + k)]);
    OpTest t({gather_rows});
    t.input("x", x);
    t.constant("i", ints({7}, places));
    t.value("y", TENON_DTYPE_FLOAT, {rows, 7, inner});
    t.node("Gather", {"x", "i"}, {"y"}, {{"axis", 1}});
    for (std::uint32_t workers : {1u, 3u}) EXPECT_EQ(t.run({.workers = workers, .threads = true})["y"].as<float>(), expected) << inner;
  }
  OpTest wrong({gather_rows});
  wrong.input("x", counting<float>({9, 3}));
  wrong.constant("i", ints({2}, {0, 3}));
  wrong.value("y", TENON_DTYPE_FLOAT, {9, 2});
  wrong.node("Gather", {"x", "i"}, {"y"}, {{"axis", 1}});
  EXPECT_THAT(wrong.run().error, HasSubstr("index 3 at position 1 is outside [-3, 3)"));
}

TEST(Gather, KnownRunsInManyRows) {
  constexpr std::int64_t rows = 19, width = 23;
  // The lower triangle of a matrix, runs that end where rows do, and one that is longer than all.
  std::vector<std::int64_t> places;
  for (std::int64_t i = 1; i < 5; ++i)
    for (std::int64_t j = 0; j < i; ++j) places.push_back(5 * i - 5 + j);
  for (std::int64_t i = 12; i < 23; ++i) places.push_back(i - 23);
  for (std::int64_t i = 0; i < 23; ++i) places.push_back(i);
  for (std::int64_t i : {20, 21, 22}) places.push_back(i);
  const auto count = static_cast<std::int64_t>(places.size());
  for (const std::int64_t inner : {1, 2, 4}) {
    const Tensor x = counting<float>({rows, width, inner});
    std::vector<float> expected;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t p : places)
        for (std::int64_t k = 0; k < inner; ++k)
          expected.push_back(x.as<float>()[static_cast<std::size_t>((r * width + (p < 0 ? p + width : p)) * inner + k)]);
    OpTest t({gather_rows});
    t.input("x", x);
    t.constant("i", ints({count}, places));
    t.value("y", TENON_DTYPE_FLOAT, {rows, count, inner});
    t.node("Gather", {"x", "i"}, {"y"}, {{"axis", 1}});
    for (std::uint32_t workers : {1u, 3u}) EXPECT_EQ(t.run({.workers = workers, .threads = true})["y"].as<float>(), expected) << inner;
  }
}

TEST(Gather, NamesIndexAndBound) {
  for (const char* op : {"Gather", "GatherElements"}) {
    const Results r = run(op, {counting<float>({3, 1}), ints({2, 1}, {0, 3})},
                          counting<float>(std::string(op) == "Gather" ? Dims{2, 1, 1} : Dims{2, 1}), {}, {.workers = 2});
    EXPECT_EQ(r.code, TENON_OUT_OF_RANGE);
    EXPECT_THAT(r.error, HasSubstr("index 3 at position 1 is outside [-3, 3)"));
  }
  EXPECT_EQ(run("GatherND", {counting<float>({2, 2}), ints({1, 2}, {1, -3})}, counting<float>({1})).code, TENON_OUT_OF_RANGE);
}

TEST(GatherElements, SmallerIndices) {
  check("GatherElements", {tensor<float>({3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}), ints({2, 2}, {1, 2, 2, 0})},
        tensor<float>({2, 2}, {4, 8, 7, 2}), {{"axis", 0}});
  check("GatherElements", {tensor<std::int8_t>({2, 3}, {1, 2, 3, 4, 5, 6}), ints({2, 2}, {-1, 0, 1, 1})},
        tensor<std::int8_t>({2, 2}, {3, 1, 5, 5}), {{"axis", 1}});
}

TEST(GatherND, Batches) {
  const Tensor x = tensor<float>({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  check("GatherND", {x, ints({2, 1}, {1, 0})}, tensor<float>({2, 2}, {2, 3, 4, 5}), {{"batch_dims", 1}});
  check("GatherND", {x, ints({2, 2}, {0, 1, -1, 0})}, tensor<float>({2, 2}, {2, 3, 4, 5}));
}

// ---- scatter ----------------------------------------------------------------------------------------------------------

TEST(ScatterElements, LastOneWinsAndReductions) {
  const Tensor x = tensor<float>({4}, {1, 2, 3, 4}), i = ints({4}, {1, 3, -3, 3}), u = tensor<float>({4}, {10, 20, 30, NAN});
  check("ScatterElements", {x, ints({3}, {1, 3, 1}), tensor<float>({3}, {10, 20, 30})}, tensor<float>({4}, {1, 30, 3, 20}));
  check("ScatterElements", {x, i, u}, tensor<float>({4}, {1, 42, 3, NAN}), {{"reduction", "add"}});
  check("ScatterElements", {x, i, u}, tensor<float>({4}, {1, 600, 3, NAN}), {{"reduction", "mul"}});
  check("ScatterElements", {x, i, u}, tensor<float>({4}, {1, 30, 3, NAN}), {{"reduction", "max"}});
  check("ScatterElements", {x, i, u}, tensor<float>({4}, {1, 2, 3, NAN}), {{"reduction", "min"}});
  check("ScatterElements", {tensor<std::string>({2}, {"a", "b"}), ints({1}, {1}), tensor<std::string>({1}, {"c"})},
        tensor<std::string>({2}, {"a", "c"}));
  EXPECT_EQ(run("ScatterElements", {x, ints({1}, {4}), tensor<float>({1}, {0})}, x).code, TENON_OUT_OF_RANGE);
}

TEST(ScatterND, RowsAddInOrderForAnyNumberOfWorkers) {
  for (std::int64_t width : {1, 3, 200}) {
    const std::int64_t rows = 500;
    Tensor x = random_tensor({10, width}, 3), u = random_tensor({rows, width}, 4);
    Dims index;
    for (std::int64_t i = 0; i < rows; ++i) index.push_back(i * 7 % 10 - (i % 3 == 0 ? 10 : 0));
    std::vector<float> expected = x.as<float>();
    const std::vector<float> added = u.as<float>();
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t k = 0; k < width; ++k)
        expected[static_cast<std::size_t>(i * 7 % 10 * width + k)] += added[static_cast<std::size_t>(i * width + k)];
    check("ScatterND", {x, ints({rows, 1}, index), u}, tensor<float>({10, width}, expected), {{"reduction", "add"}});
  }
}

// Gathered rows that are only added somewhere are read where they are.
TEST(ScatterND, AddsRowsThatAGatherNames) {
  constexpr std::int64_t edges = 700, nodes = 90;
  for (const std::int64_t width : {1, 7, 16, 70}) {
    for (const bool nd : {true, false}) {
      std::vector<std::int64_t> from, to;
      for (std::int64_t i = 0; i < edges; ++i) from.push_back(i * 31 % nodes - (i % 3 ? 0 : nodes)), to.push_back(i * i % nodes - (i % 5 ? nodes : 0));
      OpTest t({gather_rows});
      t.input("x", random_tensor({nodes, width}, 1));
      t.input("h", random_tensor({nodes, width}, 2));
      t.input("from", nd ? ints({edges, 1}, from) : ints({edges}, from));
      t.input("to", ints({edges, 1}, to));
      t.value("rows", TENON_DTYPE_FLOAT, {edges, width});
      t.value("y", TENON_DTYPE_FLOAT, {nodes, width});
      t.node(nd ? "GatherND" : "Gather", {"h", "from"}, {"rows"});
      t.node("ScatterND", {"x", "to", "rows"}, {"y"}, {{"reduction", "add"}});
      const ProgramResults expected = run_program(t, {"y"}, {.plain = true});
      ASSERT_EQ(expected.error, "");
      for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
        if (isa > detect_isa()) continue;
        const IsaScope scope(isa);
        for (std::uint32_t workers : {1u, 2u, 3u}) {
          const ProgramResults r = run_program(t, {"y"}, {.isa = isa, .workers = workers});
          ASSERT_EQ(r.error, "");
          EXPECT_EQ(r.step_names(), "copy data gather and add");
          EXPECT_EQ(r["y"].bytes, expected["y"].bytes) << width << " wide, " << workers << " workers";
        }
      }
    }
  }
}

TEST(ScatterND, NamesAWrongIndexOfAGather) {
  for (const std::int64_t edges : {2, 8}) {  // the second puts them in the order of their targets
    Dims from(static_cast<std::size_t>(edges), 1), to(static_cast<std::size_t>(edges), 0);
    from[1] = 3;
    OpTest t({gather_rows});
    t.input("x", random_tensor({3, 16}));
    t.input("from", ints({edges, 1}, from));
    t.input("to", ints({edges, 1}, to));
    t.value("rows", TENON_DTYPE_FLOAT, {edges, 16});
    t.value("y", TENON_DTYPE_FLOAT, {3, 16});
    t.node("GatherND", {"x", "from"}, {"rows"});
    t.node("ScatterND", {"x", "to", "rows"}, {"y"}, {{"reduction", "add"}});
    EXPECT_THAT(run_program(t, {"y"}, {}).error, HasSubstr("index 3 at position 1 is outside [-3, 3)"));
  }
}

TEST(ScatterND, EmptyAndOutOfRange) {
  check("ScatterND", {counting<float>({3}), ints({0, 1}, {}), tensor<float>({0}, {})}, counting<float>({3}));
  check("ScatterND", {tensor<bool>({2}, {false, true}), ints({2, 1}, {0, 1}), tensor<bool>({2}, {true, false})},
        tensor<bool>({2}, {true, true}), {{"reduction", "max"}});
  EXPECT_EQ(run("ScatterND", {counting<float>({3, 0, 1}), ints({1, 2}, {0, 0}), tensor<float>({1, 1}, {0})}, counting<float>({3, 0, 1}), {},
                {.workers = 3})
                .code,
            TENON_OUT_OF_RANGE);
}

TEST(TensorScatter, LinearAndCircular) {
  const Tensor cache = counting<float>({2, 1, 4, 2}), update = tensor<float>({2, 1, 2, 2}, {50, 51, 52, 53, 60, 61, 62, 63});
  check("TensorScatter", {cache, update, ints({2}, {1, 2})},
        tensor<float>({2, 1, 4, 2}, {0, 1, 50, 51, 52, 53, 6, 7, 8, 9, 10, 11, 60, 61, 62, 63}));
  check("TensorScatter", {cache, update, ints({2}, {3, 0})},
        tensor<float>({2, 1, 4, 2}, {52, 53, 2, 3, 4, 5, 50, 51, 60, 61, 62, 63, 12, 13, 14, 15}), {{"mode", "circular"}});
  EXPECT_EQ(run("TensorScatter", {cache, update, ints({2}, {1, 3})}, cache).code, TENON_OUT_OF_RANGE);
}

// ---- select -------------------------------------------------------------------------------------------------------------

TEST(OneHot, OutOfRangeIsOff) {
  check("OneHot", {ints({3}, {1, -1, 5}), ints({}, {3}), tensor<float>({2}, {-1, 9})},
        tensor<float>({3, 3}, {-1, 9, -1, -1, -1, 9, -1, -1, -1}));
  check("OneHot", {tensor<float>({2}, {2, NAN}), tensor<float>({}, {3}), tensor<std::int8_t>({2}, {0, 1})},
        tensor<std::int8_t>({3, 2}, {0, 0, 0, 0, 1, 0}), {{"axis", 0}});
  check("OneHot", {ints({1}, {0}), ints({}, {2}), tensor<std::string>({2}, {"off", "on"})}, tensor<std::string>({1, 2}, {"on", "off"}));
}

TEST(Compress, FlatAndAlongAnAxis) {
  const Tensor x = tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6}), like{TENON_DTYPE_FLOAT, {-1}, {}, {}},
               like2{TENON_DTYPE_FLOAT, {-1, -1}, {}, {}};
  EXPECT_THAT(run("Compress", {x, tensor<bool>({3}, {false, true, true})}, like)["y"].as<float>(), ElementsAre(2, 3));
  const Results r = run("Compress", {x, tensor<bool>({2}, {false, true})}, like2, {{"axis", 1}});
  EXPECT_THAT(r["y"].as<float>(), ElementsAre(2, 4, 6));
  EXPECT_THAT(r["y"].dims, ElementsAre(3, 1));
  EXPECT_THAT(run("Compress", {x, tensor<bool>({9}, std::vector<bool>(9, true))}, like2, {{"axis", 0}})["y"].dims,
              ElementsAre(3, 2));
}

TEST(NonZero, RowMajorIndices) {
  const Results r = run("NonZero", {tensor<float>({2, 2}, {0.0f, -0.0f, NAN, 3})}, Tensor{TENON_DTYPE_INT64, {-1, -1}, {}, {}});
  EXPECT_THAT(r["y"].as<std::int64_t>(), ElementsAre(1, 1, 0, 1));
  EXPECT_THAT(r["y"].dims, ElementsAre(2, 2));
  EXPECT_THAT(run("NonZero", {tensor<bool>({0}, {})}, Tensor{TENON_DTYPE_INT64, {-1, -1}, {}, {}})["y"].dims, ElementsAre(1, 0));
}

TEST(Unique, SortedUnsortedAndSlices) {
  for (bool sorted : {true, false}) {
    OpTest t({gather_rows});
    t.input("x", tensor<float>({6}, {2, 1, 1, 3, 4, 3}));
    t.value("y", TENON_DTYPE_FLOAT, {-1});
    for (const char* name : {"i", "v", "c"}) t.value(name, TENON_DTYPE_INT64, {-1});
    t.node("Unique", {"x"}, {"y", "i", "v", "c"}, {{"sorted", sorted ? 1 : 0}});
    const Results r = t.run();
    ASSERT_EQ(r.error, "");
    EXPECT_EQ(r["y"].as<float>(), sorted ? (std::vector<float>{1, 2, 3, 4}) : (std::vector<float>{2, 1, 3, 4}));
    EXPECT_EQ(r["i"].as<std::int64_t>(), sorted ? (Dims{1, 0, 3, 4}) : (Dims{0, 1, 3, 4}));
    EXPECT_EQ(r["v"].as<std::int64_t>(), sorted ? (Dims{1, 0, 0, 2, 3, 2}) : (Dims{0, 1, 1, 2, 3, 2}));
    EXPECT_EQ(r["c"].as<std::int64_t>(), sorted ? (Dims{2, 1, 2, 1}) : (Dims{1, 2, 2, 1}));
  }
  EXPECT_THAT(run("Unique", {tensor<float>({2, 3}, {1, 0, 1, 2, 3, 2})}, Tensor{TENON_DTYPE_FLOAT, {-1, -1}, {}, {}},
                  {{"axis", 1}, {"sorted", 1}})["y"]
                  .as<float>(),
              ElementsAre(0, 1, 3, 2));
  EXPECT_THAT(
      run("Unique", {tensor<std::string>({3}, {"b", "a", "b"})}, Tensor{TENON_DTYPE_STRING, {-1}, {}, {}}, {{"sorted", 1}})["y"].strings,
      ElementsAre("a", "b"));
}

// ---- NonMaxSuppression --------------------------------------------------------------------------------------------------

TEST(NonMaxSuppression, BestFirstPerClass) {
  const Tensor boxes =
      tensor<float>({1, 6, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 1, 0.9f, 0, -0.1f, 0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100, 1, 101});
  const Tensor scores = tensor<float>({1, 2, 6}, {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f, 0, 0, 0, 0, 0, NAN}),
               like{TENON_DTYPE_INT64, {-1, 3}, {}, {}};
  const auto chosen = [&](std::int64_t most, float iou, float least) {
    return run("NonMaxSuppression", {boxes, scores, ints({1}, {most}), tensor<float>({}, {iou}), tensor<float>({1}, {least})}, like, {},
               {.workers = 2})["y"]
        .as<std::int64_t>();
  };
  EXPECT_EQ(chosen(3, 0.5f, 0.0f), (Dims{0, 0, 3, 0, 0, 0, 0, 0, 5}));
  EXPECT_EQ(chosen(1, 0.5f, 0.8f), (Dims{0, 0, 3}));
  EXPECT_THAT(chosen(0, 0.5f, 0.0f), IsEmpty());
  EXPECT_THAT(run("NonMaxSuppression", {boxes, scores}, like)["y"].as<std::int64_t>(), IsEmpty());
  // Without a threshold for scores every class counts; equal scores keep their order.
  EXPECT_THAT(run("NonMaxSuppression", {boxes, scores, ints({}, {1})}, like)["y"].as<std::int64_t>(), ElementsAre(0, 0, 3, 0, 1, 0));
}

TEST(NonMaxSuppression, AgreesWithThePlainRule) {
  const std::int64_t n = 300;
  Tensor boxes = random_tensor({1, n, 4}, 5), scores = random_tensor({1, 1, n}, 6);
  const std::vector<float> b = boxes.as<float>(), s = scores.as<float>();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n)), expected;
  for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](auto x, auto y) { return s[static_cast<std::size_t>(x)] > s[static_cast<std::size_t>(y)]; });
  const auto iou = [&](std::int64_t i, std::int64_t j) {
    const float *p = &b[static_cast<std::size_t>(4 * i)], *q = &b[static_cast<std::size_t>(4 * j)];
    const float w =
        std::min(p[0] + std::abs(p[2]) / 2, q[0] + std::abs(q[2]) / 2) - std::max(p[0] - std::abs(p[2]) / 2, q[0] - std::abs(q[2]) / 2);
    const float h =
        std::min(p[1] + std::abs(p[3]) / 2, q[1] + std::abs(q[3]) / 2) - std::max(p[1] - std::abs(p[3]) / 2, q[1] - std::abs(q[3]) / 2);
    if (w <= 0 || h <= 0) return 0.0f;
    return w * h / (std::abs(p[2]) * std::abs(p[3]) + std::abs(q[2]) * std::abs(q[3]) - w * h);
  };
  std::vector<float> positive = b;
  for (std::size_t i = 0; i < positive.size(); ++i)
    if (i % 4 > 1) positive[i] = std::abs(positive[i]);
  for (std::int64_t i : order) {
    bool keep = true;
    for (std::size_t k = 2; k < expected.size(); k += 3) keep = keep && !(iou(i, expected[k]) > 0.3f);
    if (keep) expected.insert(expected.end(), {0, 0, i});
  }
  const Results r = run("NonMaxSuppression", {tensor<float>({1, n, 4}, positive), scores, ints({}, {n}), tensor<float>({}, {0.3f})},
                        Tensor{TENON_DTYPE_INT64, {-1, 3}, {}, {}}, {{"center_point_box", 1}});
  EXPECT_EQ(r["y"].as<std::int64_t>(), expected);
}

// ---- random numbers -----------------------------------------------------------------------------------------------------

TEST(Random, SeedDecidesWorkersDoNot) {
  const Tensor like{TENON_DTYPE_FLOAT, {100, 100}, {}, {}};
  for (const char* op : {"RandomUniform", "RandomNormal"}) {
    const std::vector<float> one = run(op, {}, like, {{"seed", 3.0f}})["y"].as<float>();
    EXPECT_EQ(one, run(op, {}, like, {{"seed", 3.0f}}, {.workers = 3})["y"].as<float>());
    EXPECT_NE(one, run(op, {}, like, {{"seed", 4.0f}})["y"].as<float>());
    EXPECT_NE(run(op, {}, like)["y"].as<float>(), run(op, {}, like)["y"].as<float>());
    double sum = 0, squares = 0;
    for (float f : one) sum += f, squares += static_cast<double>(f) * f;
    const double mean = sum / 1e4, deviation = std::sqrt(squares / 1e4 - mean * mean);
    const bool normal = op[6] == 'N';
    EXPECT_NEAR(mean, normal ? 0 : 0.5, 0.03);
    EXPECT_NEAR(deviation, normal ? 1 : 0.2887, 0.03);
  }
}

TEST(Random, BernoulliAndMultinomialFollowTheirProbabilities) {
  const std::vector<bool> none =
      run("Bernoulli", {tensor<float>({1000}, std::vector<float>(1000, 0.0f))}, Tensor{TENON_DTYPE_BOOL, {1000}, {}, {}})["y"].as<bool>();
  EXPECT_EQ(std::count(none.begin(), none.end(), true), 0);
  const std::vector<float> some = run("Bernoulli", {tensor<float>({1000}, std::vector<float>(1000, 0.25f))},
                                      Tensor{TENON_DTYPE_FLOAT, {1000}, {}, {}}, {{"seed", 1.0f}})["y"]
                                      .as<float>();
  EXPECT_NEAR(static_cast<double>(std::count(some.begin(), some.end(), 1.0f)), 250, 60);
  const std::vector<std::int32_t> drawn =
      run("Multinomial", {tensor<float>({2, 3}, {0, -INFINITY, std::log(3.0f), -INFINITY, 5, -INFINITY})},
          Tensor{TENON_DTYPE_INT32, {2, 1000}, {}, {}}, {{"seed", 1.0f}}, {.workers = 2})["y"]
          .as<std::int32_t>();
  EXPECT_NEAR(static_cast<double>(std::count(drawn.begin(), drawn.begin() + 1000, 2)), 750, 60);
  EXPECT_EQ(std::count(drawn.begin(), drawn.begin() + 1000, 1), 0);
  EXPECT_EQ(std::count(drawn.begin() + 1000, drawn.end(), 1), 1000);
}

TEST(Random, DropoutScalesWhatItKeeps) {
  OpTest t({random_rows});
  t.input("x", tensor<float>({1000}, std::vector<float>(1000, 1.0f)));
  t.input("r", tensor<float>({}, {0.75f}));
  t.input("t", tensor<bool>({}, {true}));
  t.value("y", TENON_DTYPE_FLOAT, {1000});
  t.value("m", TENON_DTYPE_BOOL, {1000});
  t.node("Dropout", {"x", "r", "t"}, {"y", "m"}, {{"seed", 0}});
  const Results r = t.run();
  const std::vector<bool> kept = r["m"].as<bool>();
  // numpy.random.seed(0): the first uniform numbers are 0.549, 0.715, 0.603, 0.545, 0.424, 0.646, 0.438, 0.892, 0.964
  EXPECT_TRUE(
      std::equal(kept.begin(), kept.begin() + 9, std::vector<bool>{false, false, false, false, false, false, false, true, true}.begin()));
  const std::vector<float> y = r["y"].as<float>();
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(y[i], kept[i] ? 4 : 0);
}

}  // namespace
}  // namespace tenon::cpu::test
