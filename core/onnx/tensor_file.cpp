#include "core/onnx/tensor_file.h"

#include <cstring>

#include "core/onnx/proto.h"

namespace tenon {

Result<Datum> parse_tensor(std::span<const std::byte> bytes, std::string& out_name) try {
  onnx::TensorProto proto;
  if (bytes.size() > 0x7fffffff || !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return error(TENON_DATA_LOSS, "not a serialized ONNX tensor");
  Payloads payloads;
  TENON_ASSIGN(const ConstantPtr c, constant_from_proto(proto, payloads));
  TENON_ASSIGN(Datum d, Datum::tensor(c->dtype, c->dims));
  if (d.strings) *d.strings = c->strings;
  else if (d.bytes) std::memcpy(d.data, c->data, d.bytes);
  out_name = proto.name();
  return d;
} catch (const std::exception& e) {
  return error(TENON_DATA_LOSS, "not a serialized ONNX tensor: {}", e.what());
}

}  // namespace tenon
