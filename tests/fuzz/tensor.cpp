// Any bytes as a serialized tensor, sequence, map and optional.
#include "core/onnx/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const std::int32_t kind : {TENON_KIND_TENSOR, TENON_KIND_SEQUENCE, TENON_KIND_MAP, TENON_KIND_OPTIONAL}) {
    std::string name;
    const auto datum = tenon::parse_datum(kind, {reinterpret_cast<const std::byte*>(data), size}, name);
    if (!datum.ok() && datum.status().text().empty()) __builtin_trap();
  }
  return 0;
}
