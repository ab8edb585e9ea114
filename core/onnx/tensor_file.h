// tensor_file: a serialized tensor, sequence, map or optional, as test data sets store inputs and outputs, becomes a datum.
// No state; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/tensor/datum.h"

namespace tenon {

// kind: TENON_KIND_*; the file does not say what it is, so TENSOR reads a TensorProto, SEQUENCE a SequenceProto and so on. The
// datum owns its bytes. An empty sequence has no element type. Errors: DATA_LOSS when the bytes are no such message,
// INVALID_ARGUMENT for its contents; external data is not followed.
Result<Datum> parse_datum(std::int32_t kind, std::span<const std::byte> bytes, std::string& out_name);

}  // namespace tenon
