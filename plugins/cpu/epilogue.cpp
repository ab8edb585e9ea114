#include "plugins/cpu/epilogue.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/simd_math.h"

namespace tenon::cpu {
namespace {

constexpr std::size_t max_items = 16;

// ---- recognition ------------------------------------------------------------------------------------------------------

// Ops of one tensor; a and b are the attributes that become the parameters.
struct UnaryRow {
  const char* domain;
  const char* op_type;
  Unary f;
  const char* a = nullptr;
  float a_default = 0;
  const char* b = nullptr;
  float b_default = 0;
};
constexpr UnaryRow unary_rows[] = {
    {"", "Relu", Unary::relu},
    {"", "LeakyRelu", Unary::leaky_relu, "alpha", 0.01f},
    {"", "Elu", Unary::elu, "alpha", 1.0f},
    {"", "Selu", Unary::selu, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f},
    {"", "Celu", Unary::celu, "alpha", 1.0f},
    {"", "Sigmoid", Unary::sigmoid},
    {"", "Tanh", Unary::tanh},
    {"", "Swish", Unary::swish, "alpha", 1.0f},
    {"", "HardSigmoid", Unary::hard_sigmoid, "alpha", 0.2f, "beta", 0.5f},
    {"", "HardSwish", Unary::hard_swish},
    {"", "Mish", Unary::mish},
    {"", "Softplus", Unary::softplus},
    {"", "Softsign", Unary::softsign},
    {"", "ThresholdedRelu", Unary::thresholded_relu, "alpha", 1.0f},
    {"", "Erf", Unary::erf},
    {"", "Exp", Unary::exp},
    {"", "Log", Unary::log},
    {"", "Sqrt", Unary::sqrt},
    {"", "Reciprocal", Unary::reciprocal},
    {"", "Abs", Unary::abs},
    {"", "Neg", Unary::neg},
    {"", "Floor", Unary::floor},
    {"", "Ceil", Unary::ceil},
    {"", "Round", Unary::round},
    {"", "Sign", Unary::sign},
    {"", "Sin", Unary::sin},
    {"", "Cos", Unary::cos},
    {"com.microsoft", "Gelu", Unary::gelu_erf},
    {"com.microsoft", "QuickGelu", Unary::swish, "alpha", 1.702f},
};
// Ops of the tile and other tensors; those after the first are variadic where the op is.
struct BinaryRow {
  const char* op_type;
  Binary f, reversed;
  bool variadic = false;
};
constexpr BinaryRow binary_rows[] = {
    {"Add", Binary::add, Binary::add}, {"Sub", Binary::sub, Binary::rsub}, {"Mul", Binary::mul, Binary::mul},
    {"Div", Binary::div, Binary::rdiv}, {"Pow", Binary::pow, Binary::rpow}, {"Sum", Binary::add, Binary::add, true},
    {"Mean", Binary::add, Binary::add, true}, {"Max", Binary::max, Binary::max, true}, {"Min", Binary::min, Binary::min, true},
};

EpilogueItem unary_item(Unary f, float a = 0, float b = 0) { return {.unary = f, .a = a, .b = b}; }
EpilogueItem binary_item(Binary f, float a, std::uint32_t input) { return {.binary = true, .op = f, .a = a, .input = input}; }

// Reads the scalars and names the operands of one node, and collects its items.
class Recognizer {
 public:
  Recognizer(const NodeView& node, std::uint32_t slot, std::uint32_t first_input, CompileContext& context)
      : node_(node), slot_(slot), first_input_(first_input), context_(context) {}

  bool run() {
    if (!node_.has_output(0) || node_.dtype(slot_) != TENON_DTYPE_FLOAT || compute_dtype(node_.output(0).dtype) != TENON_DTYPE_FLOAT)
      return false;
    for (std::uint32_t o = 1; o < node_.output_count(); ++o)
      if (node_.has_output(o)) return false;
    const std::string_view domain = node_.domain(), op = node_.op_type();
    if (domain.empty()) {
      if (op == "Clip") return slot_ == 0 && clip();
      if (op == "PRelu") return slot_ == 0 && operand(Binary::prelu, 1);
      if (op == "Gelu") return slot_ == 0 && gelu();
      for (const BinaryRow& row : binary_rows)
        if (op == row.op_type) return binary(row);
    } else if (domain == "com.microsoft" && (op == "BiasGelu" || op == "FastGelu")) {
      if (node_.has_input(1 - slot_) && !operand(Binary::add, 1 - slot_)) return false;
      items.push_back(unary_item(op == "BiasGelu" ? Unary::gelu_erf : Unary::gelu_tanh));
      return true;
    }
    for (const UnaryRow& row : unary_rows)
      if (domain == row.domain && op == row.op_type) {
        items.push_back(
            unary_item(row.f, row.a ? node_.float_or(row.a, row.a_default) : 0, row.b ? node_.float_or(row.b, row.b_default) : 0));
        return slot_ == 0;
      }
    return false;
  }

  std::vector<EpilogueItem> items;

 private:
  bool gelu() {
    const std::string_view how = node_.string_or("approximate", "none");
    if (how != "none" && how != "tanh") return false;
    items.push_back(unary_item(how == "tanh" ? Unary::gelu_tanh : Unary::gelu_erf));
    return true;
  }
  bool clip() {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    float bounds[2] = {-infinity, infinity};
    for (std::uint32_t i = 1; i <= 2; ++i)
      if (node_.has_input(i) && !number(i, bounds[i - 1]) && !operand(i == 1 ? Binary::max : Binary::min, i)) return false;
    if (bounds[0] != -infinity || bounds[1] != infinity) items.insert(items.begin(), unary_item(Unary::clip, bounds[0], bounds[1]));
    return true;
  }
  bool binary(const BinaryRow& row) {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < node_.input_count(); ++i) {
      if (!node_.has_input(i)) return false;
      ++count;
      if (i != slot_ && !operand(slot_ == 0 || row.variadic ? row.f : row.reversed, i)) return false;
    }
    if (!row.variadic && count != 2) return false;
    if (node_.op_type() == "Mean" && count > 1) scalar(Binary::div, static_cast<float>(count));
    return true;
  }
  // The number that input i is, where it is a constant of one element.
  bool number(std::uint32_t i, float& out) {
    if (!node_.is_constant(i) || node_.dtype(i) != TENON_DTYPE_FLOAT) return false;
    const tenon_const_tensor c = context_.constant(node_, i);
    if (c.bytes != sizeof(float) || c.dtype != TENON_DTYPE_FLOAT) return false;
    std::memcpy(&out, c.data, sizeof out);
    return true;
  }
  // Pow takes exponents of any number type.
  bool exponent(std::uint32_t i, float& out) {
    if (number(i, out)) return true;
    if (!node_.is_constant(i) || !is_integer(node_.dtype(i))) return false;
    const tenon_const_tensor c = context_.constant(node_, i);
    for (std::uint64_t d = 0; d < c.rank; ++d)
      if (c.dims[d] != 1) return false;
    const std::int64_t n = int_at(c.data, c.dtype, 0);
    out = static_cast<float>(n);
    return n >= -64 && n <= 64;
  }
  bool operand(Binary f, std::uint32_t i) {
    float c;
    if (f == Binary::pow ? exponent(i, c) : number(i, c)) {
      scalar(f, c);
      return true;
    }
    if (node_.dtype(i) != TENON_DTYPE_FLOAT) return false;
    const std::uint32_t input = first_input_ == TENON_NO_VALUE ? i : first_input_ + (i < slot_ ? i : i - 1);
    items.push_back(binary_item(f, 0, input));
    return true;
  }
  // y is a number.
  void scalar(Binary f, float c) {
    int exponent = 0;
    const bool power_of_two = std::isfinite(c) && std::abs(std::frexp(c, &exponent)) == 0.5f && std::abs(exponent) < 120;
    switch (f) {
      case Binary::add: return items.push_back(unary_item(Unary::affine, 1, c));
      case Binary::sub: return items.push_back(unary_item(Unary::affine, 1, -c));
      case Binary::rsub: return items.push_back(unary_item(Unary::affine, -1, c));
      case Binary::mul: return items.push_back(unary_item(Unary::affine, c, 0));
      case Binary::div:  // exact, or not at all: what follows may round
        if (power_of_two) return items.push_back(unary_item(Unary::affine, 1 / c, 0));
        break;
      case Binary::rdiv:
        if (c == 1) return items.push_back(unary_item(Unary::reciprocal));
        break;
      case Binary::pow:
        if (c == 2) return items.push_back(unary_item(Unary::square));
        if (c == 0.5f) return items.push_back(unary_item(Unary::sqrt));
        break;
      default: break;
    }
    items.push_back(binary_item(f, c, TENON_NO_VALUE));
  }

  const NodeView& node_;
  std::uint32_t slot_, first_input_;
  CompileContext& context_;
};

bool is_affine(const EpilogueItem& item) { return !item.binary && item.unary == Unary::affine; }

// Does every input but slot have only dims of 1, and no more of them than slot has?
bool others_are_single(const NodeView& node, std::uint32_t slot) {
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (i == slot || !node.has_input(i)) continue;
    const tenon_value& v = node.input(i);
    if (v.rank < 0 || v.rank > node.input(slot).rank) return false;
    for (std::int32_t d = 0; d < v.rank; ++d)
      if (v.dims[d] != 1) return false;
  }
  return true;
}

// ---- placing operands -------------------------------------------------------------------------------------------------

// Strides of an operand along the memory dims of the output. Throws Failure where it does not broadcast.
PlanList<std::int64_t> operand_strides(const Shape& operand, const Shape& out) {
  const PlanList<std::int64_t> out_dims = memory_dims(out);
  const bool as_blocked = operand.block != 0;
  if (as_blocked && operand.block != out.block)
    throw Failure{TENON_INTERNAL, "an operand of an elementwise op has another layout than its output"};
  PlanList<std::int64_t> dims = as_blocked ? memory_dims(operand) : PlanList<std::int64_t>(operand.dims.begin(), operand.dims.end());
  const PlanList<std::int64_t> dense = dense_strides(dims);
  // Along the logical dims of the output, or its memory dims where the operand is blocked too.
  const PlanList<std::int64_t> logical = as_blocked ? out_dims : PlanList<std::int64_t>(out.dims.begin(), out.dims.end());
  if (dims.size() > logical.size()) throw Failure{TENON_INVALID_ARGUMENT, "an operand has more dimensions than the output"};
  PlanList<std::int64_t> strides(logical.size(), 0);
  const std::size_t shift = logical.size() - dims.size();
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] != 1 && dims[d] != logical[d + shift])
      throw Failure{TENON_INVALID_ARGUMENT, "operands do not broadcast: a dimension is " + std::to_string(dims[d]) +
                                                " where the output has " + std::to_string(logical[d + shift])};
    strides[d + shift] = dims[d] == 1 ? 0 : dense[d];
  }
  if (out.block && !as_blocked) {
    strides.push_back(strides[1]);
    strides[1] *= out.block;
  }
  return strides;
}

}  // namespace

bool append_items(const NodeView& node, std::uint32_t slot, std::uint32_t first_input, CompileContext& context,
                  std::vector<EpilogueItem>& items) {
  Recognizer r(node, slot, first_input, context);
  if (!r.run() || items.size() + r.items.size() > max_items) return false;
  for (const EpilogueItem& item : r.items) {
    // x s, then + t
    if (!items.empty() && is_affine(items.back()) && is_affine(item) && items.back().b == 0 && item.a == 1) items.back().b = item.b;
    else items.push_back(item);
  }
  return true;
}

bool same_shape(const tenon_value& a, const tenon_value& b) {
  if (a.rank < 0 || a.rank != b.rank) return false;
  for (std::int32_t d = 0; d < a.rank; ++d) {
    if (a.dims[d] != b.dims[d]) return false;
    if (a.dims[d] < 0 && (!a.dim_symbols || !b.dim_symbols || a.dim_symbols[d] == 0 || a.dim_symbols[d] != b.dim_symbols[d])) return false;
  }
  return true;
}

bool Epilogue::add(const NodeView& next, std::uint32_t slot, std::uint32_t first_input, CompileContext& context) {
  if (!next.has_input(slot) || !next.has_output(0)) return false;
  const tenon_value& tile = next.input(slot);
  if (tile.rank < 0 || tile.rank > 8) return false;
  if (!same_shape(tile, next.output(0)) && !others_are_single(next, slot)) return false;
  return append_items(next, slot, first_input, context, items_);
}

EpiloguePlan Epilogue::plan(PlanBuilder& builder) const { return plan_items(builder, items_); }

EpiloguePlan plan_items(PlanBuilder& builder, std::span<const EpilogueItem> items, PlannedItem* head) {
  const Shape& out = builder.out(0);
  PlanList<std::int64_t> dims = memory_dims(out);
  PlanList<PlannedItem> planned;
  for (const EpilogueItem& item : items) planned.emplace_back().item = item;
  if (head) planned.push_back(*head);

  // Strides of the operands that have any, then without dims of 1, then with neighbours merged.
  PlanList<std::pair<std::size_t, PlanList<std::int64_t>>> operands;
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const bool is_head = head && i + 1 == planned.size();
    if (!is_head && (!planned[i].item.binary || planned[i].item.input == TENON_NO_VALUE)) continue;
    operands.emplace_back(i, operand_strides(builder.in(planned[i].item.input), out));
    planned[i].y = builder.in_ref(planned[i].item.input);
  }
  std::size_t rank = 0;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 1) continue;
    const bool merge = rank > 0 && std::all_of(operands.begin(), operands.end(), [&](const auto& o) {
      return o.second[rank - 1] == o.second[d] * dims[d];
    });
    if (merge) dims[rank - 1] *= dims[d];
    else dims[rank++] = dims[d];
    for (auto& o : operands) o.second[rank - 1] = o.second[d];
  }
  if (rank == 0) {
    dims.assign(1, 1);
    for (auto& o : operands) o.second.assign(1, 0);
    rank = 1;
  }
  if (rank > 8) throw Failure{TENON_UNIMPLEMENTED, "broadcasting over more than 8 distinct dimensions"};

  EpiloguePlan plan;
  plan.rank = static_cast<std::int32_t>(rank);
  std::copy_n(dims.begin(), rank, plan.dims);
  const PlanList<std::int64_t> dense = dense_strides(std::span<const std::int64_t>(dims).first(rank));
  for (const auto& [i, strides] : operands) {
    PlannedItem& p = planned[i];
    std::copy_n(strides.begin(), rank, p.strides);
    const auto zero = [](std::int64_t s) { return s == 0; };
    const auto last = strides.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
    const bool outer_zero = std::all_of(strides.begin(), last, zero);
    if (outer_zero && *last == 0) p.broadcast = Broadcast::scalar;
    else if (std::equal(dense.begin(), dense.end(), strides.begin())) p.broadcast = Broadcast::full;
    else p.broadcast = outer_zero && *last == 1 ? Broadcast::last : Broadcast::strided;
  }
  if (head) {
    *head = planned.back();
    planned.pop_back();
  }
  plan.items = builder.keep(std::span<const PlannedItem>(planned));
  plan.count = static_cast<std::int32_t>(planned.size());
  plan.kernels = &math_kernels(builder.options().plain ? Isa::plain : builder.options().isa);
  return plan;
}

}  // namespace tenon::cpu
