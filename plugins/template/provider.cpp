// The acme provider: a few float32 operators through the kernel table of provider.hpp, in host memory.
//
// A kernel is a row {domain, operator, supports, prepare, run}. supports refuses with a reason that people read in `tenon explain`;
// prepare reads attributes once; run gets dense row-major operands and may be called by several threads at once.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

std::optional<Refusal> refuse(std::int32_t reason, std::string text) { return Refusal{reason, std::move(text)}; }

// ---- what the kernels take ---------------------------------------------------------------------------------------------

std::optional<Refusal> only_float32(const Node& node) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (const tenon_value* v = node.input(i); !v || v->dtype != TENON_DTYPE_FLOAT)
      return refuse(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " is not a float32 tensor");
  if (node.input_count() == 0 || node.output_count() != 1) return refuse(TENON_REJECT_OTHER, "inputs and one output are expected");
  return std::nullopt;
}

// Two operands of one shape, as far as it is known: this provider does not broadcast.
std::optional<Refusal> two_alike(const Node& node) {
  if (auto no = only_float32(node)) return no;
  if (node.input_count() != 2) return refuse(TENON_REJECT_OTHER, "two inputs are expected");
  const tenon_value &a = *node.input(0), &b = *node.input(1);
  if (a.rank < 0 || a.rank != b.rank) return refuse(TENON_REJECT_RANK, "both inputs must have one known shape");
  for (std::int32_t d = 0; d < a.rank; ++d) {
    const bool fixed = a.dims[d] >= 0 && a.dims[d] == b.dims[d];
    const bool named = a.dims[d] < 0 && b.dims[d] < 0 && a.dim_symbols[d] != 0 && a.dim_symbols[d] == b.dim_symbols[d];
    if (!fixed && !named)
      return refuse(TENON_REJECT_RANK, "both inputs must have one shape, axis " + std::to_string(d) + " may differ");
  }
  return std::nullopt;
}

std::optional<Refusal> two_matrices(const Node& node) {
  if (auto no = only_float32(node)) return no;
  if (node.input_count() != 2 || node.input(0)->rank != 2 || node.input(1)->rank != 2)
    return refuse(TENON_REJECT_RANK, "two matrices are expected");
  return std::nullopt;
}

// ---- the kernels -------------------------------------------------------------------------------------------------------

// Spreads n pieces over the workers that the host lends: fn(begin, end).
template <class Fn>
void spread(const Call& call, std::int64_t n, std::int64_t grain, Fn fn) {
  call.host->parallel_for(
      call.task, static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(grain),
      [](void* context, std::uint64_t begin, std::uint64_t end, std::uint32_t) {
        (*static_cast<Fn*>(context))(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
      },
      &fn);
}

template <class Fn>
Kernel unary(const char* op, Fn fn) {
  return {"", op, only_float32, nullptr, [fn](const Call& call) {
            const float* x = call.inputs[0].as<float>();
            float* y = call.outputs[0].as<float>();
            spread(call, call.inputs[0].count(), 16384, [=](std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) y[i] = fn(x[i]);
            });
          }};
}

template <class Fn>
Kernel binary(const char* op, Fn fn) {
  return {"", op, two_alike, nullptr, [fn](const Call& call) {
            const float *a = call.inputs[0].as<float>(), *b = call.inputs[1].as<float>();
            float* y = call.outputs[0].as<float>();
            spread(call, call.outputs[0].count(), 16384, [=](std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) y[i] = fn(a[i], b[i]);
            });
          }};
}

// LeakyRelu shows prepare: its attribute is read in compile, not in every run.
Kernel leaky_relu() {
  return {"", "LeakyRelu", only_float32,
          [](const Node& node) -> std::shared_ptr<const void> { return std::make_shared<const float>(node.number("alpha", 0.01f)); },
          [](const Call& call) {
            const float alpha = *static_cast<const float*>(call.prepared);
            const float* x = call.inputs[0].as<float>();
            float* y = call.outputs[0].as<float>();
            for (std::int64_t i = 0, n = call.inputs[0].count(); i < n; ++i) y[i] = x[i] < 0 ? alpha * x[i] : x[i];
          }};
}

// [M, K] x [K, N]: rows are shared out among workers; each row is summed in one order, whoever does it.
Kernel matmul() {
  return {"", "MatMul", two_matrices, nullptr, [](const Call& call) {
            const std::int64_t m = call.inputs[0].dims[0], k = call.inputs[0].dims[1], n = call.inputs[1].dims[1];
            const float *a = call.inputs[0].as<float>(), *b = call.inputs[1].as<float>();
            float* y = call.outputs[0].as<float>();
            spread(call, m, 8, [=](std::int64_t begin, std::int64_t end) {
              for (std::int64_t r = begin; r < end; ++r) {
                std::fill(y + r * n, y + (r + 1) * n, 0.0f);
                for (std::int64_t i = 0; i < k; ++i)
                  for (std::int64_t c = 0; c < n; ++c) y[r * n + c] += a[r * k + i] * b[i * n + c];
              }
            });
          }};
}

// ---- the provider ------------------------------------------------------------------------------------------------------

Kernels& provider() {
  static Kernels* made = [] {
    auto* kernels =
        new Kernels("acme", ACME_VERSION,
                    {unary("Relu", [](float x) { return std::max(x, 0.0f); }), unary("Neg", [](float x) { return -x; }),
                     unary("Abs", [](float x) { return std::fabs(x); }), unary("Exp", [](float x) { return std::exp(x); }),
                     unary("Sigmoid", [](float x) { return 1 / (1 + std::exp(-x)); }), leaky_relu(),
                     binary("Add", [](float a, float b) { return a + b; }), binary("Sub", [](float a, float b) { return a - b; }),
                     binary("Mul", [](float a, float b) { return a * b; }), matmul()});
    // What the host needs to weigh this device against others: float32 operations and bytes in a nanosecond, the cost of a part.
    kernels->device.kind = TENON_DEVICE_OTHER;
    kernels->device.name = str("acme on the processor");
    kernels->device.flops_per_ns = 4;
    kernels->device.bytes_per_ns = 8;
    kernels->device.launch_ns = 1000;
    return kernels;
  }();
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return provider().describe(args); }
