// tensor_file: a serialized TensorProto, as test data sets store inputs and outputs, becomes a datum.
// No state; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/tensor/datum.h"

namespace tenon {

// The datum owns its bytes. Errors: DATA_LOSS when the bytes are no tensor, INVALID_ARGUMENT for its contents; external
// data is not followed.
Result<Datum> parse_tensor(std::span<const std::byte> bytes, std::string& out_name);

}  // namespace tenon
