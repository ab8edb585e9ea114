// External data: tensor payloads in files beside the model.
// A file must lie in the model's folder once every link is resolved, and the range must lie in the file. That of a bundle lies in the
// bundle's weights.
// No state of its own; the maps are the import's.
#pragma once

#include "core/onnx/proto.h"

namespace tenon {

struct ExternalRange {
  const std::byte* data = nullptr;
  std::uint64_t offset = 0;
  std::string file;  // identity of the mapped file
  const FileMap* source = nullptr;
  std::shared_ptr<const void> keep;
};

// Errors: PERMISSION_DENIED outside the folder; NOT_FOUND; DATA_LOSS for ranges that leave the file; INVALID_ARGUMENT.
Result<ExternalRange> external_range(const onnx::TensorProto& proto, std::uint64_t bytes, Payloads& payloads);

}  // namespace tenon
