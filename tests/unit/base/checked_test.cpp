#include "core/base/checked.h"

#include <gtest/gtest.h>

namespace tenon {
namespace {

TEST(Checked, ComputesLikeIntegers) {
  EXPECT_EQ((Checked(3) * Checked(4) + Checked(5)).value(), 17);
  EXPECT_EQ(Checked(65).align_up(64).value(), 128);
  EXPECT_EQ(Checked(64).align_up(64).value(), 64);
}

TEST(Checked, RemembersOverflow) {
  Checked c = Checked(INT64_MAX) * Checked(2);
  EXPECT_FALSE(c.valid());
  EXPECT_FALSE((c * Checked(0)).valid());
  EXPECT_FALSE((Checked(INT64_MAX) + Checked(1)).valid());
  EXPECT_FALSE(Checked(INT64_MAX).align_up(64).valid());
}

TEST(Checked, RefusesNegatives) {
  EXPECT_FALSE(Checked(-1).valid());
  EXPECT_FALSE((Checked(3) - Checked(4)).valid());
  auto r = Checked(-1).get("rows");
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().code(), TENON_OUT_OF_RANGE);
  EXPECT_EQ(r.status().text(), "rows: the size is negative or does not fit into 63 bits");
}

}  // namespace
}  // namespace tenon
