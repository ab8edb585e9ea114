// Views: the same elements under other dims and strides.
#include <gmock/gmock.h>

#include "plugins/opencl/host.h"
#include "plugins/opencl/tensor.h"

namespace tenon::opencl {
namespace {

using ::testing::ElementsAre;

Tensor tensor(Dims dims, Layout layout = Layout::dense) {
  Tensor t;
  t.dtype = TENON_DTYPE_FLOAT;
  t.strides = strides_of(dims, layout);
  t.dims = std::move(dims);
  t.buffer = 0;
  return t;
}

TEST(OpenclTensor, LayoutsAreTold) {
  const Tensor t = tensor({2, 3, 4, 5}, Layout::channels_last);
  EXPECT_THAT(t.strides, ElementsAre(60, 1, 15, 3));
  EXPECT_TRUE(is_laid_out(t, Layout::channels_last));
  EXPECT_FALSE(is_dense(t));
  EXPECT_TRUE(is_dense(tensor({2, 8, 1, 1}, Layout::channels_last)));  // one pixel: both at once
}

TEST(OpenclTensor, BroadcastHasStridesOfZero) {
  const Tensor t = broadcast(tensor({3, 1}), {2, 3, 4});
  EXPECT_THAT(t.dims, ElementsAre(2, 3, 4));
  EXPECT_THAT(t.strides, ElementsAre(0, 1, 0));
  EXPECT_THROW((void)broadcast(tensor({3}), {2, 4}), Failure);
  EXPECT_THROW((void)broadcast(tensor({2, 3}), {3}), Failure);
}

TEST(OpenclTensor, SlicesMoveTheStart) {
  const Tensor t = sliced(tensor({4, 6}), 1, 5, 3, -2);
  EXPECT_EQ(t.offset, 5);
  EXPECT_THAT(t.dims, ElementsAre(4, 3));
  EXPECT_THAT(t.strides, ElementsAre(6, -2));
}

TEST(OpenclTensor, ReshapeOfDenseIsAView) {
  Tensor out;
  ASSERT_TRUE(reshaped(tensor({2, 12}), {2, 3, 4}, out));
  EXPECT_THAT(out.strides, ElementsAre(12, 4, 1));
  EXPECT_THROW((void)reshaped(tensor({2, 12}), {5, 5}, out), Failure);
}

TEST(OpenclTensor, ReshapeOfStridedIsAViewWhereGroupsStayWhole) {
  Tensor out;
  const Tensor t = permuted(tensor({2, 3, 4}), {1, 0, 2});  // strides 4, 12, 1
  ASSERT_TRUE(reshaped(t, {3, 2, 2, 2}, out));
  EXPECT_THAT(out.strides, ElementsAre(4, 12, 2, 1));
  EXPECT_FALSE(reshaped(t, {6, 4}, out));
  ASSERT_TRUE(reshaped(tensor({2, 8, 3, 5}, Layout::channels_last), {2, 8, 15}, out));
  EXPECT_THAT(out.strides, ElementsAre(120, 1, 8));
  ASSERT_TRUE(reshaped(permuted(tensor({2, 1, 3}), {2, 1, 0}), {3, 2}, out));
  EXPECT_THAT(out.strides, ElementsAre(1, 3));
  ASSERT_TRUE(reshaped(permuted(tensor({2, 3}), {1, 0}), {1, 3, 1, 2, 1}, out));
}

}  // namespace
}  // namespace tenon::opencl
