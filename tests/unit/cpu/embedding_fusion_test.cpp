// Rows of several tables, joined, become one step with any number of workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/program_harness.h"

namespace tenon::cpu::test {
namespace {

using testing::HasSubstr;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t features = 4, bound = 50;

struct Spelling {
  std::int64_t rows = 70, width = 24;
  bool columns = true;   // indices are columns of one matrix
  bool stacked = true;   // [rows, features + 1, width], else side by side
  bool narrow = false;   // int32 indices
  bool shared = false;   // a looked up row is an output too
  std::int64_t wrong = 0;  // an index of the last feature's last row
};

std::vector<std::int64_t> places(const Spelling& s) {
  std::vector<std::int64_t> at;
  for (std::int64_t i = 0; i < s.rows * features; ++i) at.push_back((i * 37 + i / 5) % (2 * bound) - bound);
  if (s.wrong) at.back() = s.wrong;
  return at;
}

Tensor indices(const Spelling& s, Dims dims, const std::vector<std::int64_t>& at) {
  if (!s.narrow) return tensor<std::int64_t>(std::move(dims), at);
  return tensor<std::int32_t>(std::move(dims), std::vector<std::int32_t>(at.begin(), at.end()));
}

void spell(OpTest& t, const Spelling& s) {
  const std::int32_t dtype = s.narrow ? TENON_DTYPE_INT32 : TENON_DTYPE_INT64;
  const std::vector<std::int64_t> at = places(s);
  const auto n = [](const char* name, std::int64_t i) { return name + std::to_string(i); };
  t.input("dense", random_tensor({s.rows, s.width}, 1));
  t.constant("one", tensor<std::int64_t>({1}, {s.stacked ? -2 : 1}));
  if (s.columns) t.input("at", indices(s, {s.rows, features}, at));
  std::vector<std::string> pieces = {"dense"};
  for (std::int64_t f = 0; f < features; ++f) {
    t.constant(n("table", f), random_tensor({bound, s.width}, static_cast<std::uint32_t>(f) + 2));
    if (s.columns) {
      t.constant(n("column", f), tensor<std::int64_t>({}, {f == 1 ? f - features : f}));
      t.value(n("at", f), dtype, {s.rows});
      t.node("Gather", {"at", n("column", f)}, {n("at", f)}, {{"axis", f == 2 ? -1 : 1}});
    } else {
      std::vector<std::int64_t> own;
      for (std::int64_t r = 0; r < s.rows; ++r) own.push_back(at[static_cast<std::size_t>(r * features + f)]);
      t.input(n("at", f), indices(s, {s.rows}, own));
    }
    t.value(n("row", f), TENON_DTYPE_FLOAT, {s.rows, s.width});
    t.node("Gather", {n("table", f), n("at", f)}, {n("row", f)});
    pieces.push_back(n("row", f));
  }
  if (s.stacked)
    for (std::string& piece : pieces) {
      t.value(piece + "u", TENON_DTYPE_FLOAT, {s.rows, 1, s.width});
      t.node("Unsqueeze", {piece, "one"}, {piece + "u"});
      piece += "u";
    }
  t.value("y", TENON_DTYPE_FLOAT, s.stacked ? Dims{s.rows, features + 1, s.width} : Dims{s.rows, (features + 1) * s.width});
  t.node("Concat", pieces, {"y"}, {{"axis", 1}});
}

void check(const Spelling& s) {
  OpTest t({movement_rows, gather_rows});
  spell(t, s);
  std::vector<std::string> outputs = {"y"};
  if (s.shared) outputs.push_back("row1");
  const ProgramResults expected = run_program(t, outputs, {.plain = true});
  ASSERT_EQ(expected.error, "");
  for (std::uint32_t workers : {1u, 2u, 3u}) {
    const ProgramResults found = run_program(t, outputs, {.isa = detect_isa(), .workers = workers});
    ASSERT_EQ(found.error, "") << workers;
    if (!s.shared) EXPECT_EQ(found.step_names(), "join rows") << workers;
    else EXPECT_THAT(found.step_names(), HasSubstr("join rows")) << workers;
    for (const std::string& name : outputs) EXPECT_EQ(expected[name].bytes, found[name].bytes) << name << ", workers " << workers;
  }
}

TEST(EmbeddingFusion, TablesOfManyFeatures) {
  for (bool columns : {true, false})
    for (bool stacked : {true, false}) check({.columns = columns, .stacked = stacked});
  check({.narrow = true});
  check({.rows = 1});
  check({.rows = 3, .width = 1, .columns = false, .narrow = true});
  check({.rows = 33, .width = 150});
}

TEST(EmbeddingFusion, RowsThatOthersWantStayThemselves) {
  check({.shared = true});
  check({.stacked = false, .shared = true});
}

TEST(EmbeddingFusion, NamesAWrongIndex) {
  for (bool columns : {true, false}) {
    OpTest t({movement_rows, gather_rows});
    const Spelling s{.columns = columns, .wrong = -51};
    spell(t, s);
    const std::string position = std::to_string(columns ? s.rows * features - 1 : s.rows - 1);
    EXPECT_THAT(run_program(t, {"y"}, {.isa = detect_isa(), .workers = 2}).error,
                HasSubstr("index -51 at position " + position + " is outside [-50, 50)"));
  }
}

TEST(EmbeddingFusion, OneTableStaysAGather) {
  OpTest t({movement_rows, gather_rows});
  t.input("x", random_tensor({5, 3}, 1));
  t.input("at", tensor<std::int64_t>({5}, {0, 1, 2, 3, 4}));
  t.constant("table", random_tensor({8, 4}, 2));
  t.value("row", TENON_DTYPE_FLOAT, {5, 4});
  t.value("y", TENON_DTYPE_FLOAT, {5, 7});
  t.node("Gather", {"table", "at"}, {"row"});
  t.node("Concat", {"x", "row"}, {"y"}, {{"axis", 1}});
  const ProgramResults found = run_program(t, {"y"}, {.isa = detect_isa()});
  ASSERT_EQ(found.error, "");
  EXPECT_EQ(found.step_names(), "gather concat");
  EXPECT_EQ(found["y"].bytes, run_program(t, {"y"}, {.plain = true})["y"].bytes);
}

}  // namespace
}  // namespace tenon::cpu::test
