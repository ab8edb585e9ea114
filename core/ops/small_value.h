// Small: a value of up to small_elements elements that core computes with itself.
//
// Plain data, owned by whoever holds it; pure functions; any thread.
#pragma once

#include <optional>
#include <vector>

#include "core/graph/elements.h"
#include "core/graph/graph.h"
#include "core/ops/evaluator.h"

namespace tenon::small {

// Integers and bool in i, floats in f; every element is one that its type can hold.
struct Small {
  DType dtype = TENON_DTYPE_INT64;
  Dims dims;
  std::vector<std::int64_t> i;
  std::vector<double> f;

  bool real() const { return is_real(dtype); }
  std::int64_t count() const { return element_count(dims).value(); }
  double number(std::size_t k) const { return real() ? f[k] : static_cast<double>(i[k]); }
};

using Inputs = std::vector<std::optional<Small>>;
using Output = std::optional<std::vector<Small>>;  // nullopt: beyond the evaluator
using Evaluate = Output (*)(const Node&, const Inputs&);

// The types of values that core computes with.
inline bool takes(DType t) { return is_real(t) || is_whole(t); }

// From and to constants; nullopt for other types and larger ones, null without memory.
std::optional<Small> from_constant(const Constant& c);
ConstantPtr to_constant(const Small& s);

// The nearest element of the type: integers wrap around, floats are rounded.
std::int64_t fit(std::int64_t v, DType type);
double fit(double v, DType type);

// Room for the elements of the dims.
void resize(Small& s);
void copy_element(Small& to, std::size_t k, const Small& from, std::size_t j);

// The common shape; false where there is none or it is larger than small_elements.
bool broadcast(const Dims& a, const Dims& b, Dims& out);
// Index into a tensor of dims for element k of the broadcast shape.
std::size_t source_index(std::size_t k, const Dims& out, const Dims& dims);

// Integers wrap around.
std::int64_t wrap_add(std::int64_t a, std::int64_t b);
std::int64_t wrap_sub(std::int64_t a, std::int64_t b);
std::int64_t wrap_mul(std::int64_t a, std::int64_t b);

// Operators that move elements.
Output gather(const Node& n, const Inputs& in);
Output concat(const Node& n, const Inputs& in);
Output squeeze(const Node& n, const Inputs& in);
Output unsqueeze(const Node& n, const Inputs& in);
Output reshape(const Node& n, const Inputs& in);
Output slice(const Node& n, const Inputs& in);
Output expand(const Node& n, const Inputs& in);
Output where(const Node& n, const Inputs& in);
Output split(const Node& n, const Inputs& in);

}  // namespace tenon::small
