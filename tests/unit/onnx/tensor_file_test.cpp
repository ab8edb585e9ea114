// Serialized values, as users give them on the command line and through the C API.
#include <gmock/gmock.h>

#include <cstring>

#include <onnx/onnx-data.pb.h>
#include <onnx/onnx_pb.h>

#include "core/onnx/tensor_file.h"

namespace tenon {
namespace {

namespace onnx = ::ONNX_NAMESPACE;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class Proto>
Result<Datum> parse(const Proto& proto, std::int32_t kind = TENON_KIND_TENSOR) {
  const std::string bytes = proto.SerializeAsString();
  std::string name;
  return parse_datum(kind, {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, name);
}

onnx::TensorProto tensor(DType dtype, const Dims& dims) {
  onnx::TensorProto proto;
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

onnx::TensorProto number(float value) {
  auto proto = tensor(TENON_DTYPE_FLOAT, {});
  proto.add_float_data(value);
  return proto;
}

float number_of(const Datum& d) {
  float value = 0;
  std::memcpy(&value, d.data, sizeof value);
  return value;
}

TEST(TensorFile, ReadsSequences) {
  onnx::SequenceProto inner, outer;
  inner.set_elem_type(onnx::SequenceProto::TENSOR);
  *inner.add_tensor_values() = number(1), *inner.add_tensor_values() = number(2);
  outer.set_elem_type(onnx::SequenceProto::SEQUENCE);
  *outer.add_sequence_values() = inner;
  const auto d = parse(outer, TENON_KIND_SEQUENCE);
  ASSERT_TRUE(d.ok()) << d.status().text();
  ASSERT_EQ(d->items.size(), 1u);
  EXPECT_EQ(d->items[0].kind, TENON_KIND_SEQUENCE);
  EXPECT_EQ(d->items[0].dtype, TENON_DTYPE_FLOAT);
  ASSERT_EQ(d->items[0].items.size(), 2u);
  EXPECT_EQ(number_of(d->items[0].items[1]), 2);
}

TEST(TensorFile, ReadsOptionalsWithAndWithoutValue) {
  onnx::OptionalProto proto;
  EXPECT_TRUE(parse(proto, TENON_KIND_OPTIONAL)->items.empty());
  proto.set_elem_type(onnx::OptionalProto::TENSOR);
  EXPECT_TRUE(parse(proto, TENON_KIND_OPTIONAL)->items.empty());
  *proto.mutable_tensor_value() = number(3);
  const auto d = parse(proto, TENON_KIND_OPTIONAL);
  ASSERT_TRUE(d.ok()) << d.status().text();
  ASSERT_EQ(d->items.size(), 1u);
  EXPECT_EQ(number_of(d->items[0]), 3);
}

TEST(TensorFile, ReadsMaps) {
  onnx::MapProto proto;
  proto.set_key_type(onnx::TensorProto::STRING);
  proto.add_string_keys("a"), proto.add_string_keys("b");
  proto.mutable_values()->set_elem_type(onnx::SequenceProto::TENSOR);
  *proto.mutable_values()->add_tensor_values() = number(1);
  EXPECT_THAT(std::string(parse(proto, TENON_KIND_MAP).status().text()), HasSubstr("2 string keys for 1 values"));
  *proto.mutable_values()->add_tensor_values() = number(2);
  const auto d = parse(proto, TENON_KIND_MAP);
  ASSERT_TRUE(d.ok()) << d.status().text();
  EXPECT_THAT(d->string_keys, ElementsAre("a", "b"));
  EXPECT_EQ(number_of(d->items[1]), 2);
}

TEST(TensorFile, RefusesWhatItCannotRead) {
  onnx::SequenceProto sparse;
  sparse.set_elem_type(onnx::SequenceProto::SPARSE_TENSOR);
  EXPECT_EQ(parse(sparse, TENON_KIND_SEQUENCE).status().code(), TENON_INVALID_ARGUMENT);
  EXPECT_EQ(parse(number(1), TENON_KIND_SPARSE).status().code(), TENON_UNIMPLEMENTED);
  std::string name;
  EXPECT_EQ(parse_datum(TENON_KIND_OPTIONAL, std::as_bytes(std::span("no such thing")), name).status().code(), TENON_DATA_LOSS);
}

}  // namespace
}  // namespace tenon
