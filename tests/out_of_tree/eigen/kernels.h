// What the kernels of this provider share. Functions without state; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <Eigen/Core>
#include <tenon/provider.hpp>

namespace eigen {

using tenon::plugin::Call;
using tenon::plugin::Kernel;
using tenon::plugin::Node;
using tenon::plugin::Refusal;

using Matrix = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
using ConstMatrix = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

inline std::optional<Refusal> only_float32(const Node& node) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (const tenon_value* v = node.input(i); v && (v->dtype != TENON_DTYPE_FLOAT || v->kind != TENON_KIND_TENSOR))
      return Refusal{TENON_REJECT_DTYPE, "input " + std::to_string(i) + " is not a float32 tensor"};
  if (!node.input(0) || !node.output(0)) return Refusal{TENON_REJECT_OTHER, "an operand is missing"};
  return std::nullopt;
}

// Spreads n pieces over the workers that the host lends: fn(index).
template <class Fn>
void spread(const Call& call, std::int64_t n, Fn fn) {
  call.host->parallel_for(
      call.task, static_cast<std::uint64_t>(n), 1,
      [](void* context, std::uint64_t begin, std::uint64_t end, std::uint32_t) {
        for (std::uint64_t i = begin; i < end; ++i) (*static_cast<Fn*>(context))(static_cast<std::int64_t>(i));
      },
      &fn);
}

Kernel convolution();

}  // namespace eigen
