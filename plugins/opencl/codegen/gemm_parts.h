// What the skeletons of products share: parameters, where a work item's matrices begin, and how a tile reaches the epilogue.
//
// Pure functions; any thread.
#pragma once

#include "plugins/opencl/codegen/gemm.h"
#include "plugins/opencl/codegen/gemm_text.h"

namespace tenon::opencl {

KernelText gemm_registers(const GemmConfig& config, const Epilogue& epilogue);
KernelText gemm_local(const GemmConfig& config, const Epilogue& epilogue);
KernelText gemm_split(const GemmConfig& config, const Epilogue& epilogue);
KernelText gemm_dots(const GemmConfig& config, const Epilogue& epilogue);

// The type of a finished element.
inline Compute gemm_result(const GemmConfig& config) { return config.bytes ? Compute::i32 : config.compute; }
inline std::string gemm_type(const GemmConfig& config, int width) { return compute_name(config.compute, width); }

// Everything up to the body's first statement: attributes, name, parameters, an opening brace, and pointers `a`, `b` of the storage types at
// this work item's batch, `batch`, and `sums` and `zeros` where there are any.
std::string gemm_head(const GemmConfig& config, const Epilogue& epilogue);

// The kernel of these texts, with what the epilogue needs in front.
KernelText gemm_text(const GemmConfig& config, const Epilogue& epilogue, std::string body);

// load_text, converted to the type that products are made in.
std::string gemm_load(const GemmConfig& config, std::int32_t dtype, int width, const std::string& pointer, const std::string& index);

// c += x * b, all of the compute type.
std::string gemm_accumulate(const GemmConfig& config, const std::string& c, const std::string& x, const std::string& b);

// Loops over a private array `tile` of `rows` (a variable) rows and `columns` (a number) columns whose first element is [m0, n0] of C;
// columns below `first` and from `width` on (variables) do not exist.
std::string gemm_store_indexed(const GemmConfig& config, const Epilogue& epilogue, int columns);
// Unrolled over the private array `name[rows][vectors]` of vectors, all indices constants once unrolled. row and column: expressions in r and j.
std::string gemm_store_unrolled(const GemmConfig& config, const Epilogue& epilogue, const std::string& name, int rows, int vectors,
                                const std::string& row, const std::string& column);

}  // namespace tenon::opencl
