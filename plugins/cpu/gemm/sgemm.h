// Sgemm: float32 products C = alpha * A B + bias of any strides and batch, planned per shape and run by a gang of workers.
//
// Plain data (trivially copyable: steps carry it); plan is a few comparisons and allocates nothing. run may be called by
// all workers at once: each computes its part of C, whose elements are the same bits for any number of workers.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/cpu/gemm/kernels.h"
#include "plugins/cpu/gemm/nbits.h"
#include "plugins/cpu/gemm/split.h"

namespace tenon::cpu::gemm {

constexpr int kMaxBatchRank = 6;

// A: [m, k], B: [k, n], C: [m, n], each with strides in elements (0 allowed in A and B). Batch dims come outermost first;
// strides of 0 broadcast.
struct Problem {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t a_row = 0, a_k = 1;
  std::int64_t b_k = 0, b_column = 1;
  std::int64_t c_row = 0, c_column = 1;  // one of them must be 1, unless m or n is 1
  std::int32_t batch_rank = 0;
  std::int64_t batch[kMaxBatchRank] = {};
  std::int64_t batch_a[kMaxBatchRank] = {}, batch_b[kMaxBatchRank] = {}, batch_c[kMaxBatchRank] = {};
  float alpha = 1;

  // Adds a batch dim inside the last one and merges them where the strides allow.
  void push_batch(std::int64_t size, std::int64_t a, std::int64_t b, std::int64_t c);
};

// What happens to elements [0, n) of a finished piece of a row of C (contiguous columns), while it is in cache.
using FinishFn = void (*)(const void* context, float* x, std::int64_t n);

enum class Mode : std::uint8_t {
  nothing,  // no element
  zero_k,   // C = bias
  dots,     // one side has few rows, both are contiguous in k
  tiles,
  split,    // tiles too, of operands split into bfloat16 parts
  strassen, // tiles too, of sums of halves
};
enum class Source : std::uint8_t { packed /* at compile */, direct, block /* packed or dequantized per block in a run */ };

struct Gemm {
  const Kernels* kernels = nullptr;
  Problem p;
  Mode mode = Mode::nothing;
  Source b = Source::block;
  bool pack_a = false;
  bool split_tiles = false;         // Mode::split on the matrix unit, not on vectors
  bool swapped = false;             // A and B changed places: C is computed transposed, bias runs along rows
  std::int64_t batch_count = 1;
  std::int64_t tiles = 0;           // of rows, per batch
  std::int64_t panels = 0;          // of columns
  std::int64_t kc = 0;              // depth of a block
  std::int64_t block_tiles = 0;     // rows of a block of A, in tiles
  std::int64_t block_panels = 0;    // columns of a block of B (Source::block)
  std::int64_t packed_matrix = 0;   // floats of one packed matrix, for batch_b in units of matrices
  std::uint64_t scratch_bytes = 0;  // per worker, 64-byte aligned
  const QuantizedKernels* dequantize = nullptr;  // B is `quantized`
  Quantized quantized;
};

// Whether a constant B of these sizes should be packed at compile; otherwise plan takes it as it is.
bool wants_packing(std::int64_t n);
// Packed form of one [k, n] matrix, in units of four bytes; columns [n, ...) of a matrix begin packed_floats(kernels, k, n) further
// where n is a multiple of kernels.columns.
std::uint64_t packed_floats(const Kernels& kernels, std::int64_t k, std::int64_t n);
void pack_b(const Kernels& kernels, const float* b, std::int64_t b_k, std::int64_t b_column, std::int64_t k, std::int64_t n, float* dst);

// Names the packed form for CompileContext::packed.
std::string packed_layout(const Kernels& kernels, std::int64_t k, std::int64_t n);

// packed: B is the result of pack_b, one matrix after another; batch_b then counts matrices.
Gemm plan(const Kernels& kernels, const Problem& problem, bool packed);
// B is given by q alone; RunArgs::b is not read.
Gemm plan_quantized(const Kernels& kernels, const Problem& problem, const QuantizedKernels& dequantize, const Quantized& q);

struct RunArgs {
  const float *a, *b;
  float* c;
  const float* bias = nullptr;  // [n], may be null
  void* scratch;                // this worker's
  std::uint32_t worker = 0, workers = 1;
  FinishFn finish = nullptr;
  const void* finish_context = nullptr;
  const float* addend = nullptr;  // added behind the bias, in the places of C; only where takes_addend, never the memory of C
};
void run(const Gemm& gemm, const RunArgs& args);

// Whether RunArgs::addend may be given.
inline bool takes_addend(const Gemm& gemm) { return gemm.mode == Mode::tiles || gemm.mode == Mode::strassen; }

// ---- the parts of plan and run that take Strassen's sums (strassen.cpp) ----
//
// Gemm::tiles counts blocks of rows and panels pairs of them, kc is the depth of half a block and block_tiles its height.
bool takes_strassen(const Gemm& gemm, bool packed);
void plan_strassen(Gemm& gemm);
void run_strassen(const Gemm& gemm, const RunArgs& args);

// ---- the parts of plan and run that split (split_gemm.cpp) ----
//
// Whether a constant B of these sizes is packed as parts.
bool packs_split(const Kernels& kernels, std::int64_t k, std::int64_t n);
std::uint64_t split_floats(const Kernels& kernels, std::int64_t k, std::int64_t n);
void split_b(const Kernels& kernels, const float* b, std::int64_t b_k, std::int64_t b_column, std::int64_t k, std::int64_t n, float* dst);
// Whether the problem in gemm.p should be split, and the plan for it.
bool takes_split(const Gemm& gemm, bool packed);
void plan_split(Gemm& gemm, bool packed);
void run_split(const Gemm& gemm, const RunArgs& args);

// An estimate for one worker, for the step's est_ns.
double estimate_ns(const Gemm& gemm);

}  // namespace tenon::cpu::gemm
