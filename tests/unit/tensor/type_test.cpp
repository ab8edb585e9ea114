#include "core/tensor/type.h"

#include <gtest/gtest.h>

namespace tenon {
namespace {

TEST(DType, SizesPackedTypesRoundedUp) {
  EXPECT_EQ(dtype_bytes(TENON_DTYPE_INT4, 3).value(), 2);
  EXPECT_EQ(dtype_bytes(TENON_DTYPE_UINT2, 5).value(), 2);
  EXPECT_EQ(dtype_bytes(TENON_DTYPE_FLOAT, 3).value(), 12);
  EXPECT_FALSE(dtype_bytes(TENON_DTYPE_DOUBLE, INT64_MAX / 4).valid());
}

TEST(DType, NamesBothWays) {
  for (DType d = 1; d <= TENON_DTYPE_FLOAT6E3M2; ++d) {
    EXPECT_EQ(dtype_from_name(dtype_name(d)), d);
    EXPECT_EQ(dtype_from_name(dtype_onnx_name(d)), d);
  }
  EXPECT_FALSE(dtype_from_name("float31"));
  EXPECT_EQ(dtype_bits(99), 0);
}

TEST(Type, SpelledLikeOnnx) {
  Type tensor, map, sequence;
  tensor.dtype = TENON_DTYPE_FLOAT;
  map.kind = TENON_KIND_MAP, map.dtype = TENON_DTYPE_INT64, map.element = std::make_shared<Type>(tensor);
  sequence.kind = TENON_KIND_SEQUENCE, sequence.element = std::make_shared<Type>(map);
  EXPECT_EQ(sequence.text(), "seq(map(int64,tensor(float)))");
}

TEST(SymbolTable, SameNameSameId) {
  SymbolTable t;
  const auto batch = t.id("batch");
  EXPECT_NE(batch, 0u);
  EXPECT_EQ(t.id("batch"), batch);
  EXPECT_NE(t.fresh(), t.fresh());
  EXPECT_EQ(t.name(batch), "batch");
}

}  // namespace
}  // namespace tenon
