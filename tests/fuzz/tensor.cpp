// Any bytes as a serialized tensor.
#include "core/onnx/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string name;
  const auto tensor = tenon::parse_tensor({reinterpret_cast<const std::byte*>(data), size}, name);
  if (!tensor.ok() && tensor.status().text().empty()) __builtin_trap();
  return 0;
}
