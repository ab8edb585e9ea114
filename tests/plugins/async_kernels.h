// Kernels of the test provider "async": float32, on operands whose bytes are stored inverted (device memory) or plain (host).
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include <tenon/provider.hpp>

namespace async {

using namespace tenon::plugin;

// One operator; bit i of host_inputs, host_outputs: that operand is asked for in host memory.
struct Op {
  Kernel kernel;
  std::uint32_t host_inputs = 0, host_outputs = 0;
  std::uint64_t flags = 0;
  bool in_place = false;  // demands what no host promises
};

// Whether the device whose kernel runs on this thread works in host memory, where nothing is inverted.
inline thread_local bool plain = false;

inline void invert(void* data, std::size_t bytes) {
  auto* at = static_cast<unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i) at[i] = static_cast<unsigned char>(~at[i]);
}
inline std::vector<float> load(const Tensor& t) {
  std::vector<float> out(static_cast<std::size_t>(t.count()));
  if (!out.empty()) std::memcpy(out.data(), t.data, out.size() * 4);
  if (!plain) invert(out.data(), out.size() * 4);
  return out;
}
inline void store(const Tensor& t, std::vector<float> values) {
  if (!plain) invert(values.data(), values.size() * 4);
  if (!values.empty()) std::memcpy(t.data, values.data(), values.size() * 4);
}

inline std::optional<Refusal> float_only(const Node& node) {
  for (std::size_t i = 0; i < node.input_count(); ++i)
    if (const tenon_value* v = node.input(i); v && v->dtype != TENON_DTYPE_FLOAT)
      return Refusal{TENON_REJECT_DTYPE, "only float32, input " + std::to_string(i) + " has dtype " + std::to_string(v->dtype)};
  return std::nullopt;
}
inline std::optional<Refusal> first_is_float(const Node& node) {
  const tenon_value* v = node.input(0);
  if (!v || v->dtype != TENON_DTYPE_FLOAT) return Refusal{TENON_REJECT_DTYPE, "only float32"};
  const tenon_value* second = node.input(1);
  if (second && second->const_id) return Refusal{TENON_REJECT_OTHER, "the second input must not be constant"};
  return std::nullopt;
}

inline std::optional<Refusal> exponent(const Node& node) {
  if (auto no = first_is_float(node)) return no;
  const tenon_value* y = node.input(1);
  if (y->dtype != TENON_DTYPE_FLOAT || y->rank > 1 || (y->rank == 1 && y->dims[0] != 1)) return Refusal{TENON_REJECT_RANK, "the exponent must be one float32"};
  return std::nullopt;
}
inline std::optional<Refusal> vector(const Node& node) {
  if (auto no = float_only(node)) return no;
  if (node.input(0)->rank != 1) return Refusal{TENON_REJECT_RANK, "only of rank 1"};
  return std::nullopt;
}
inline std::optional<Refusal> of_all(const Node& node) {
  if (auto no = float_only(node)) return no;
  if (node.input_count() != 1 || node.attribute("axes")) return Refusal{TENON_REJECT_ATTRIBUTE, "only over all axes"};
  return std::nullopt;
}

template <class Fn>
Op unary(const char* name, Fn fn) {
  return {{"", name, float_only, nullptr, [fn](const Call& c) {
             std::vector<float> x = load(c.inputs[0]);
             for (float& v : x) v = fn(v);
             store(c.outputs[0], std::move(x));
           }, 50}};
}

// The element of an operand that broadcasts to dims, for the flat index i of dims.
inline std::size_t broadcast(std::span<const std::int64_t> own, std::span<const std::int64_t> dims, std::size_t i) {
  std::size_t at = 0, step = 1;
  for (std::size_t k = 0; k < dims.size(); ++k) {
    const std::size_t d = dims.size() - 1 - k, size = static_cast<std::size_t>(dims[d]);
    if (k < own.size()) {
      const auto mine = static_cast<std::size_t>(own[own.size() - 1 - k]);
      at += (mine == 1 ? 0 : i % size) * step;
      step *= mine;
    }
    i /= size;
  }
  return at;
}
template <class Fn>
Op binary(const char* name, Fn fn) {
  return {{"", name, float_only, nullptr, [fn](const Call& c) {
             const std::vector<float> x = load(c.inputs[0]), y = load(c.inputs[1]);
             std::vector<float> z(static_cast<std::size_t>(c.outputs[0].count()));
             for (std::size_t i = 0; i < z.size(); ++i)
               z[i] = fn(x[broadcast(c.inputs[0].dims, c.outputs[0].dims, i)], y[broadcast(c.inputs[1].dims, c.outputs[0].dims, i)]);
             store(c.outputs[0], std::move(z));
           }, 50}};
}

inline std::optional<Refusal> matrices(const Node& node) {
  if (auto no = float_only(node)) return no;
  if (node.input(0)->rank != 2 || node.input(1)->rank != 2) return Refusal{TENON_REJECT_RANK, "only matrices"};
  return std::nullopt;
}
inline void matmul(const Call& c) {
  const std::vector<float> x = load(c.inputs[0]), y = load(c.inputs[1]);
  const auto m = static_cast<std::size_t>(c.inputs[0].dims[0]), k = static_cast<std::size_t>(c.inputs[0].dims[1]), n = static_cast<std::size_t>(c.inputs[1].dims[1]);
  std::vector<float> z(m * n);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t p = 0; p < k; ++p)
      for (std::size_t j = 0; j < n; ++j) z[i * n + j] += x[i * k + p] * y[p * n + j];
  store(c.outputs[0], std::move(z));
}

// The exponent is one number in host memory.
inline void pow_by_host(const Call& c) {
  std::vector<float> x = load(c.inputs[0]);
  const float y = *c.inputs[1].as<const float>();
  for (float& v : x) v = std::pow(v, y);
  store(c.outputs[0], std::move(x));
}
// The result is in host memory.
inline void maximum(const Call& c) {
  const std::vector<float> x = load(c.inputs[0]);
  float most = -INFINITY;
  for (float v : x) most = std::max(most, v);
  *c.outputs[0].as<float>() = most;
}
inline void reciprocal(const Call& c) {
  std::vector<float> x = load(c.inputs[0]);
  for (float& v : x) {
    if (v == 0) raise(TENON_INVALID_ARGUMENT, "Reciprocal of zero");
    v = 1 / v;
  }
  store(c.outputs[0], std::move(x));
}

inline std::vector<Op> operators() {
  std::vector<Op> all = {
      unary("Relu", [](float x) { return x > 0 ? x : 0.0f; }), unary("Exp", [](float x) { return std::exp(x); }),
      unary("Neg", [](float x) { return -x; }), unary("Abs", [](float x) { return std::fabs(x); }),
      unary("Sigmoid", [](float x) { return 1 / (1 + std::exp(-x)); }), unary("Tanh", [](float x) { return std::tanh(x); }),
      unary("Sqrt", [](float x) { return std::sqrt(x); }), unary("Log", [](float x) { return std::log(x); }), unary("CastLike", [](float x) { return x; }),
      binary("Add", [](float x, float y) { return x + y; }), binary("Sub", [](float x, float y) { return x - y; }),
      binary("Mul", [](float x, float y) { return x * y; }), binary("Div", [](float x, float y) { return x / y; })};
  all.push_back({{"", "MatMul", matrices, nullptr, matmul, 50}});
  all.push_back({{"", "Reciprocal", float_only, nullptr, reciprocal, 50}});
  all.push_back({{"", "Reshape", first_is_float, nullptr, [](const Call& c) { store(c.outputs[0], load(c.inputs[0])); }, 50}, 2});
  all.push_back({{"", "Pow", exponent, nullptr, pow_by_host, 50}, 2});
  all.push_back({{"", "ReduceMax", of_all, nullptr, maximum, 50}, 0, 1});
  // Sizes that the data decides: one that says where it writes, one that does not and so is not taken.
  all.push_back({{"", "NonZero", vector, nullptr, nullptr, 50}, 0, 1, TENON_CLAIM_DATA_DEPENDENT_SHAPE});
  all.push_back({{"", "Unique", float_only, nullptr, nullptr, 50}, 0, 0, TENON_CLAIM_DATA_DEPENDENT_SHAPE});
  all.push_back(unary("Erf", [](float x) { return std::erf(x); }));
  all.back().in_place = true;
  return all;
}

}  // namespace async
