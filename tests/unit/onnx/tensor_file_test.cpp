// Serialized tensors, as users give them on the command line and through the C API.
#include <gmock/gmock.h>

#include <cstring>

#include <onnx/onnx_pb.h>

#include "core/onnx/tensor_file.h"

namespace tenon {
namespace {

using ::testing::HasSubstr;

Result<Datum> parse(const ::ONNX_NAMESPACE::TensorProto& proto) {
  const std::string bytes = proto.SerializeAsString();
  std::string name;
  return parse_tensor({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, name);
}

::ONNX_NAMESPACE::TensorProto tensor(DType dtype, const Dims& dims) {
  ::ONNX_NAMESPACE::TensorProto proto;
  proto.set_data_type(dtype);
  for (std::int64_t d : dims) proto.add_dims(d);
  return proto;
}

TEST(TensorFile, ReadsTypedFields) {
  auto proto = tensor(TENON_DTYPE_INT32, {2});
  proto.add_int32_data(3), proto.add_int32_data(-4);
  const auto d = parse(proto);
  ASSERT_TRUE(d.ok()) << d.status().text();
  const std::int32_t expected[] = {3, -4};
  EXPECT_EQ(std::memcmp(d->data, expected, sizeof expected), 0);
}

// Forty bytes of file must not ask the machine for forty gigabytes.
TEST(TensorFile, TakesNoMemoryForElementsThatAreNotThere) {
  for (const DType dtype : {TENON_DTYPE_DOUBLE, TENON_DTYPE_INT64, TENON_DTYPE_COMPLEX64}) {
    const auto d = parse(tensor(dtype, {5, 1 << 30}));
    ASSERT_FALSE(d.ok());
    EXPECT_EQ(d.status().code(), TENON_DATA_LOSS);
    EXPECT_THAT(std::string(d.status().text()), HasSubstr("needs 5368709120 elements, the file has 0"));
  }
  EXPECT_EQ(parse(tensor(TENON_DTYPE_UINT4, {1 << 20, 1 << 16})).status().code(), TENON_DATA_LOSS);
  EXPECT_TRUE(parse(tensor(TENON_DTYPE_FLOAT, {0, 5})).ok());
}

}  // namespace
}  // namespace tenon
