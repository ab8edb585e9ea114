// The eigen provider: float32 MatMul, Gemm and Conv by Eigen, in host memory.
#include <algorithm>
#include <string>

#include "kernels.h"

namespace eigen {
namespace {

using namespace tenon::plugin;

// ---- MatMul: [..., M, K] x [..., K, N] with equal batches, or one matrix for all of them ------------------------------------

std::optional<Refusal> supports_matmul(const Node& node) {
  if (auto no = only_float32(node)) return no;
  const tenon_value &a = *node.input(0), &b = *node.input(1);
  if (a.rank < 2 || b.rank < 2) return Refusal{TENON_REJECT_RANK, "matrices are expected on both sides"};
  if (b.rank == 2) return std::nullopt;
  if (a.rank != b.rank) return Refusal{TENON_REJECT_RANK, "the batches must have one rank"};
  for (std::int32_t d = 0; d + 2 < a.rank; ++d)
    if (a.dims[d] < 0 || a.dims[d] != b.dims[d])
      return Refusal{TENON_REJECT_RANK, "batch axis " + std::to_string(d) + " differs or is not fixed"};
  return std::nullopt;
}

void matmul(const Call& call) {
  const auto& a = call.inputs[0].dims;
  const auto& b = call.inputs[1].dims;
  const std::int64_t k = a[a.size() - 1], n = b[b.size() - 1];
  const bool shared = b.size() == 2;  // all rows of all batches times one matrix
  std::int64_t batches = 1;
  for (std::size_t d = 0; d + 2 < a.size(); ++d) batches *= a[d];
  std::int64_t m = a[a.size() - 2];
  if (shared) m *= batches, batches = 1;
  const std::int64_t slice = 32,
                     slices = (m + slice - 1) / slice;  // of rows, by problem size alone: the same result for any worker count
  spread(call, batches * slices, [&](std::int64_t piece) {
    const std::int64_t batch = piece / slices, first = piece % slices * slice, rows = std::min(slice, m - first);
    Matrix(call.outputs[0].as<float>() + (batch * m + first) * n, rows, n).noalias() =
        ConstMatrix(call.inputs[0].as<float>() + (batch * m + first) * k, rows, k) *
        ConstMatrix(call.inputs[1].as<float>() + batch * k * n, k, n);
  });
}

// ---- Gemm: alpha * A' * B' + beta * C, C spread over rows and columns --------------------------------------------------------

struct Gemm {
  float alpha, beta;
  bool trans_a, trans_b;
};

std::optional<Refusal> supports_gemm(const Node& node) {
  if (auto no = only_float32(node)) return no;
  if (node.input(2) && (node.input(2)->rank < 0 || node.input(2)->rank > 2))
    return Refusal{TENON_REJECT_RANK, "C has a rank above two or none that is known"};
  return std::nullopt;
}

std::shared_ptr<const void> prepare_gemm(const Node& node) {
  return std::make_shared<Gemm>(
      Gemm{node.number("alpha", 1), node.number("beta", 1), node.integer("transA", 0) != 0, node.integer("transB", 0) != 0});
}

void gemm(const Call& call) {
  const Gemm& g = *static_cast<const Gemm*>(call.prepared);
  const Tensor &a = call.inputs[0], &b = call.inputs[1], &y = call.outputs[0];
  const ConstMatrix left(a.as<float>(), a.dims[0], a.dims[1]), right(b.as<float>(), b.dims[0], b.dims[1]);
  Matrix out(y.as<float>(), y.dims[0], y.dims[1]);
  const auto product = [&](const auto& l) {
    if (g.trans_b) out.noalias() = g.alpha * (l * right.transpose());
    else out.noalias() = g.alpha * (l * right);
  };
  if (g.trans_a) product(left.transpose());
  else product(left);
  if (call.inputs.size() < 3 || !call.inputs[2].data) return;
  const Tensor& c = call.inputs[2];
  const std::int64_t rows = c.dims.size() == 2 ? c.dims[0] : 1, columns = c.dims.empty() ? 1 : c.dims.back();
  for (std::int64_t r = 0; r < out.rows(); ++r)
    for (std::int64_t s = 0; s < out.cols(); ++s)
      out(r, s) += g.beta * c.as<float>()[(rows == 1 ? 0 : r * columns) + (columns == 1 ? 0 : s)];
}

Kernels& provider() {
  static Kernels* made = [] {
    auto* kernels = new Kernels("eigen", EIGEN_VERSION,
                                {Kernel{"", "MatMul", supports_matmul, nullptr, matmul},
                                 Kernel{"", "Gemm", supports_gemm, prepare_gemm, gemm}, convolution()});
    static const std::string name = "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                                    "." + std::to_string(EIGEN_MINOR_VERSION);
    kernels->device.name = str(name);
    kernels->device.flops_per_ns = 16;
    kernels->device.bytes_per_ns = 10;
    kernels->device.launch_ns = 1000;
    return kernels;
  }();
  return *made;
}

}  // namespace
}  // namespace eigen

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return eigen::provider().describe(args); }
