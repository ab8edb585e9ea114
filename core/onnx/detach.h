// detach: a model as a small message, its large tensors taken out: what a bundle stores of it.
//
// Takes the model as it was written: no rewrite, no upgrade, so that a session from the result is the one from the original. No state;
// any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "core/onnx/import.h"

namespace tenon {

// Stores bytes somewhere; the offset that the model shall know them by.
using StoreWeights = std::function<Result<std::uint64_t>(std::span<const std::byte>)>;

// The ONNX message of the file, in which every tensor of 1 KiB and more, and all external data, is external data at
// `bundle_weights`. Bytes that several tensors share are stored once.
// Operators are not looked at. Errors: those of import_file for files, messages and external data; those of store.
Result<std::string> detach_weights(const std::string& path, const ImportOptions& options, const StoreWeights& store);

}  // namespace tenon
