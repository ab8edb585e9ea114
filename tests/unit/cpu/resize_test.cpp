// Resize, GridSample, AffineGrid. Expected numbers are those of the ONNX reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/cpu/family_check.h"
#include "tests/unit/cpu/op_harness.h"

namespace tenon::cpu::test {
namespace {

using Dims = std::vector<std::int64_t>;
using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

Tensor ints(const Dims& values) { return tensor<std::int64_t>({static_cast<std::int64_t>(values.size())}, values); }
Tensor floats(const std::vector<float>& values) { return tensor<float>({static_cast<std::int64_t>(values.size())}, values); }

// scales, sizes and roi are omitted where empty.
Tensor resized(const Tensor& x, const Dims& dims, const std::vector<float>& scales, const Dims& sizes, std::vector<Attr> attributes,
               const std::vector<float>& roi = {}, RunOptions options = {}) {
  OpTest t({resize_rows});
  t.input("x", x);
  if (!roi.empty()) t.known_input("roi", floats(roi));
  if (!scales.empty()) t.known_input("scales", floats(scales));
  if (!sizes.empty()) t.known_input("sizes", ints(sizes));
  t.value("y", x.dtype, dims);
  t.node("Resize", {"x", roi.empty() ? "" : "roi", scales.empty() ? "" : "scales", sizes.empty() ? "" : "sizes"}, {"y"},
         std::move(attributes));
  const Results r = t.run(options);
  EXPECT_EQ(r.error, "");
  return r.error.empty() ? r["y"] : Tensor{};
}

const Tensor row = tensor<float>({1, 4}, {1, 2, 3, 4});

void expect_row(const std::vector<float>& expected, const std::vector<float>& scales, const Dims& sizes,
                const std::vector<Attr>& attributes, const std::vector<float>& roi = {}) {
  const std::vector<float> y = resized(row, {1, static_cast<std::int64_t>(expected.size())}, scales, sizes, attributes, roi).as<float>();
  EXPECT_THAT(y, Pointwise(FloatNear(1e-5f), expected));
}

TEST(Resize, NearestModes) {
  expect_row({1, 1, 2, 2, 3, 4, 4}, {1, 1.75f}, {}, {{"mode", "nearest"}});
  expect_row({1, 2, 3, 3, 4, 4, 4}, {}, {1, 7}, {{"nearest_mode", "ceil"}, {"coordinate_transformation_mode", "asymmetric"}});
  expect_row({1, 2, 2, 3, 3, 4, 4}, {}, {1, 7},
             {{"nearest_mode", "round_prefer_ceil"}, {"coordinate_transformation_mode", "align_corners"}});
  expect_row({1, 1, 2, 2, 3, 3, 4, 4}, {1, 2}, {}, {{"nearest_mode", "floor"}, {"coordinate_transformation_mode", "asymmetric"}});
}

TEST(Resize, LinearCoordinates) {
  expect_row({1, 1.4375f, 2.0625f, 2.6875f, 3.3125f, 3.9375f}, {1, 1.6f}, {}, {{"mode", "linear"}});
  expect_row({1, 1.5625f, 2.1875f, 2.8125f, 3.4375f, 4}, {1, 1.6f}, {},
             {{"mode", "linear"}, {"coordinate_transformation_mode", "half_pixel_symmetric"}});
  expect_row({1}, {}, {1, 1}, {{"mode", "linear"}, {"coordinate_transformation_mode", "pytorch_half_pixel"}});
  expect_row({2.2f, 2.95f, 3.7f, 10, 10}, {}, {1, 5},
             {{"mode", "linear"}, {"coordinate_transformation_mode", "tf_crop_and_resize"}, {"extrapolation_value", 10.0f}},
             {0, 0.4f, 1, 1.4f});
}

TEST(Resize, CubicAndAntialias) {
  expect_row({0.9342108f, 1.411765f, 2.166666f, 2.833334f, 3.588235f, 4.065789f}, {1, 1.5f}, {},
             {{"mode", "cubic"}, {"cubic_coeff_a", -0.5f}, {"exclude_outside", 1}});
  expect_row({1.375f, 3}, {1, 0.6f}, {}, {{"mode", "linear"}, {"antialias", 1}});
  expect_row({1.303614f, 3.07143f}, {1, 0.6f}, {}, {{"mode", "cubic"}, {"antialias", 1}});
}

TEST(Resize, AspectRatioAxesAndTypes) {
  const Tensor x = tensor<float>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const std::vector<float> y = resized(x, {4, 8}, {}, {7, 8}, {{"mode", "linear"}, {"keep_aspect_ratio_policy", "not_larger"}}).as<float>();
  EXPECT_THAT(std::vector<float>(y.begin() + 8, y.begin() + 16), ElementsAre(2, 2.25f, 2.75f, 3.25f, 3.75f, 4.25f, 4.75f, 5));
  EXPECT_THAT(resized(x, {2, 6}, {}, {6}, {{"axes", Dims{-1}}}).as<float>(), ElementsAre(1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8));
  EXPECT_THAT(resized(tensor<std::uint8_t>({1, 4}, {0, 100, 250, 255}), {1, 7}, {}, {1, 7}, {{"mode", "linear"}}).as<std::uint8_t>(),
              ElementsAre(0, 36, 93, 175, 250, 253, 255));
  EXPECT_THAT(resized(tensor<std::string>({2}, {"a", "b"}), {4}, {2}, {}, {{"mode", "nearest"}}).strings, ElementsAre("a", "a", "b", "b"));
  EXPECT_THAT(resized(x, {2, 4}, {1, 1}, {}, {{"mode", "cubic"}}).as<float>(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

// A blocked input (made by a transposition from NHWC) gives the numbers of a dense one, for any number of workers.
TEST(Resize, BlocksAndWorkersChangeNothing) {
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    std::vector<float> first;
    for (std::int32_t block : {0, 8, 16})
      for (std::uint32_t workers : {1u, 2u, 5u}) {
        OpTest t({movement_rows, resize_rows});
        t.input("x", random_tensor({2, 5, 7, 16}));
        t.known_input("sizes", ints({2, 16, 10, 21}));
        t.value("a", TENON_DTYPE_FLOAT, {2, 16, 5, 7});
        t.value("y", TENON_DTYPE_FLOAT, {2, 16, 10, 21});
        t.node("Transpose", {"x"}, {"a"}, {{"perm", Dims{0, 3, 1, 2}}});
        t.node("Resize", {"a", "", "", "sizes"}, {"y"}, {{"mode", mode}});
        const Results r = t.run({.workers = workers, .block = block});
        ASSERT_EQ(r.error, "");
        if (first.empty()) first = r["y"].as<float>();
        EXPECT_THAT(r["y"].as<float>(), Pointwise(FloatNear(1e-6f), first));
      }
  }
}

// Rows of float32 are blended by permutations where neighbours are near enough; every form agrees with the plain loops.
TEST(Resize, LinearRowsOfEveryForm) {
  for (const Dims& sizes : {Dims{20, 320}, {7, 64}, {5, 23}, {33, 40}, {3, 5}, {64, 33}, {1, 9}}) {
    const std::int64_t in = sizes[0], out = sizes[1];
    const Tensor x = random_tensor({2, 3, 4, in});
    const auto run = [&](Isa isa) {
      return resized(x, {2, 3, 9, out}, {}, {2, 3, 9, out}, {{"mode", "linear"}}, {}, {.isa = isa, .workers = 2}).as<float>();
    };
    const std::vector<float> expected = run(Isa::plain);
    for (Isa isa : {Isa::plain, Isa::avx2, Isa::avx512}) {
      const IsaScope scope(isa);
      EXPECT_THAT(run(detect_isa()), Pointwise(FloatNear(1e-5f), expected)) << in << " to " << out << ", instruction set " << int{static_cast<std::uint8_t>(isa)};
    }
  }
}

TEST(Resize, ThreeDimsAgreeWithOneAfterTheOther) {
  const Tensor x = random_tensor({1, 2, 3, 4, 5});
  Tensor one = x;
  const Dims target{6, 6, 9};
  for (std::int64_t axis = 2; axis < 5; ++axis) {
    Dims dims = one.dims;
    dims[static_cast<std::size_t>(axis)] = target[static_cast<std::size_t>(axis - 2)];
    one = resized(one, dims, {}, {dims[static_cast<std::size_t>(axis)]}, {{"mode", "cubic"}, {"axes", Dims{axis}}});
  }
  const Tensor all = resized(x, {1, 2, 6, 6, 9}, {}, target, {{"mode", "cubic"}, {"axes", Dims{2, 3, 4}}}, {}, {.workers = 3});
  EXPECT_THAT(all.as<float>(), Pointwise(FloatNear(1e-5f), one.as<float>()));
}

// ---- GridSample, AffineGrid -------------------------------------------------------------------------------------------

std::vector<float> sampled(const std::vector<float>& grid, std::vector<Attr> attributes) {
  const std::int64_t points = static_cast<std::int64_t>(grid.size()) / 2;
  OpTest t({resize_rows});
  t.input("x", tensor<float>({1, 1, 3, 2}, {0, 1, 2, 3, 4, 5}));
  t.input("grid", tensor<float>({1, 1, points, 2}, grid));
  t.value("y", TENON_DTYPE_FLOAT, {1, 1, 1, points});
  t.node("GridSample", {"x", "grid"}, {"y"}, std::move(attributes));
  const Results r = t.run({.workers = 2});
  EXPECT_EQ(r.error, "");
  return r.error.empty() ? r["y"].as<float>() : std::vector<float>{};
}

TEST(GridSample, PaddingModes) {
  const std::vector<float> grid{-1, -1, -0.5f, -0.5f, -0.2f, -0.2f, 0, 0, 5, 5, NAN, 0};
  EXPECT_THAT(sampled(grid, {{"padding_mode", "zeros"}}), Pointwise(FloatNear(1e-5f), std::vector<float>{0, 0.5f, 1.7f, 2.5f, 0, 0}));
  EXPECT_THAT(sampled(grid, {{"padding_mode", "border"}}), Pointwise(FloatNear(1e-5f), std::vector<float>{0, 0.5f, 1.7f, 2.5f, 5, 2}));
  EXPECT_EQ(sampled(grid, {{"padding_mode", "reflection"}}).size(), 6u);
  EXPECT_THAT(sampled({-1, -1, 1, 1, 0.4f, 1}, {{"mode", "nearest"}, {"align_corners", 1}}), ElementsAre(0, 5, 5));
}

TEST(AffineGrid, IdentityGivesTheCentres) {
  OpTest t({resize_rows});
  t.input("theta", tensor<float>({1, 2, 3}, {1, 0, 0, 0, 1, 0.5f}));
  t.known_input("size", ints({1, 1, 2, 4}));
  t.value("grid", TENON_DTYPE_FLOAT, {1, 2, 4, 2});
  t.node("AffineGrid", {"theta", "size"}, {"grid"});
  const std::vector<float> g = t.run()["grid"].as<float>();
  EXPECT_THAT(g, ElementsAre(-0.75f, 0, -0.25f, 0, 0.25f, 0, 0.75f, 0, -0.75f, 1, -0.25f, 1, 0.25f, 1, 0.75f, 1));
}

}  // namespace
}  // namespace tenon::cpu::test
