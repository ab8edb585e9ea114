// Resize: one table for each axis that changes; rows along the last of them.
//
// nearest copies elements of any type. linear and cubic blend input rows into one row (all axes but the last), then along the
// row. What lies inside the last axis, such as the channels of a block, is a vector.
#include <algorithm>
#include <cmath>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/movement.h"
#include "plugins/cpu/ops/resize_steps.h"
#include "plugins/cpu/ops/strided_copy.h"

namespace tenon::cpu {
namespace {

// ---- the operator -----------------------------------------------------------------------------------------------------

class ResizeOp final : public Op {
 public:
  ResizeOp(const NodeView& node, const ResizeRule& rule) : rule_(rule), value_(node.float_or("extrapolation_value", 0)) {
    axes_.assign(node.ints("axes").begin(), node.ints("axes").end());
    some_axes_ = node.attribute("axes") != nullptr;
    policy_ = node.string_or("keep_aspect_ratio_policy", "stretch");
    // Blocked values may be resized where channels are left alone.
    if (node.dtype(0) == TENON_DTYPE_FLOAT && node.rank(0) >= 3 && node.has_output(0) && node.output(0).rank == node.rank(0))
      channels_kept_ = rule.coordinates != CoordinateMode::tf_crop_and_resize && node.input(0).dims[1] > 0 &&
                       node.input(0).dims[1] == node.output(0).dims[1];
  }

  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t) override {
    for (std::size_t i = channels_kept_ ? 1 : 0; i < inputs.size(); ++i) inputs[i] = 0;
    return channels_kept_ ? inputs[0] : 0;
  }

  void plan(PlanBuilder& b) const override {
    const Shape &x = b.in(0), &y = b.out(0);
    if (x.rank() != y.rank()) throw Failure{TENON_INVALID_ARGUMENT, "input and output differ in rank"};
    if (x.rank() >= max_resize_rank) throw Failure{TENON_UNIMPLEMENTED, "Resize of rank " + std::to_string(x.rank())};
    if (y.count() == 0) return;
    if (x.count() == 0) throw Failure{TENON_INVALID_ARGUMENT, "the input is empty, the output is not"};
    std::vector<ResizeTable> tables = make_tables(b, x, y);
    PlanList<std::int64_t> dims = memory_dims(x);
    if (x.block) {
      if (!tables[1].identity) throw Failure{TENON_UNIMPLEMENTED, "the channels change"};
      tables[1].in = tables[1].out = dims[1];
      ResizeTable lane;
      lane.in = lane.out = x.block, lane.identity = true;
      tables.push_back(lane);
    }
    const Element kind = element_of(x.dtype);
    if (std::all_of(tables.begin(), tables.end(), [](const ResizeTable& t) { return t.identity; })) {
      const PlanList<std::int64_t> strides = dense_strides(dims);
      const CopyPiece piece{strided_copy(b, kind, dims, strides, strides), b.in_ref(0), b.out_ref(0)};
      return emit_copies(b, "resize", {&piece, 1});
    }
    if (rule_.mode != ResizeMode::nearest) return blend(b, dims, tables);
    NearestStep s{lay_out_axes<float>(b, dims, tables, 0), kind, b.in_ref(0), b.out_ref(0), {}};
    s.value.constant = extrapolation(b, x.dtype);
    const std::int64_t bytes = bytes_of(kind, x.count()) + bytes_of(kind, y.count());
    b.step("resize", s, copy_options(kind, bytes), {{s.src}}, {{s.dst}});
  }

 private:
  std::vector<ResizeTable> make_tables(PlanBuilder& b, const Shape& x, const Shape& y) const {
    const std::size_t rank = x.dims.size();
    std::vector<double> scales(rank, 1), begins(rank, 0), ends(rank, 1);
    std::vector<std::int64_t> axes;
    for (std::size_t i = 0; i < (some_axes_ ? axes_.size() : rank); ++i)
      axes.push_back(some_axes_ ? checked_axis(axes_[i], x.rank()) : static_cast<std::int64_t>(i));
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(axes[i]); };
    const auto given = [&](std::uint32_t i) { return b.in(i).dtype != TENON_DTYPE_UNDEFINED && b.in(i).count() > 0; };
    const auto known = [&](std::uint32_t i) {
      const void* data = known_data(b, i);
      if (!data) throw Failure{TENON_UNIMPLEMENTED, "input " + std::to_string(i) + " must be known before the run"};
      return data;
    };
    const auto fits = [&](std::uint32_t i, std::size_t count) {
      if (b.in(i).count() != static_cast<std::int64_t>(count))
        throw Failure{TENON_INVALID_ARGUMENT, "input " + std::to_string(i) + " has " + std::to_string(b.in(i).count()) +
                                                  " elements, expected " + std::to_string(count)};
    };
    for (std::size_t i = 0; i < rank; ++i) scales[i] = static_cast<double>(y.dims[i]) / static_cast<double>(x.dims[i]);
    if (given(2)) {
      fits(2, axes.size());
      const auto* values = static_cast<const float*>(known(2));
      for (std::size_t i = 0; i < axes.size(); ++i) scales[at(i)] = values[i];
    } else if (given(3) && policy_ != "stretch") {
      fits(3, axes.size());
      const void* sizes = known(3);
      double common = policy_ == "not_larger" ? INFINITY : 0;
      for (std::size_t i = 0; i < axes.size(); ++i) {
        const double s =
            static_cast<double>(int_at(sizes, b.in(3).dtype, static_cast<std::int64_t>(i))) / static_cast<double>(x.dims[at(i)]);
        common = policy_ == "not_larger" ? std::min(common, s) : std::max(common, s);
      }
      for (std::size_t i = 0; i < axes.size(); ++i) scales[at(i)] = common;
    }
    if (rule_.coordinates == CoordinateMode::tf_crop_and_resize && given(1)) {
      fits(1, 2 * axes.size());
      const void* roi = known(1);
      const bool wide = b.in(1).dtype == TENON_DTYPE_DOUBLE;
      const auto number = [&](std::size_t i) { return wide ? static_cast<const double*>(roi)[i] : static_cast<const float*>(roi)[i]; };
      for (std::size_t i = 0; i < axes.size(); ++i) begins[at(i)] = number(i), ends[at(i)] = number(axes.size() + i);
    }
    std::vector<ResizeTable> tables;
    for (std::size_t i = 0; i < rank; ++i) {
      if (!(scales[i] > 0)) throw Failure{TENON_INVALID_ARGUMENT, "a scale is not positive"};
      tables.push_back(make_resize_table(rule_, x.dims[i], y.dims[i], scales[i], begins[i], ends[i]));
    }
    return tables;
  }

  void blend(PlanBuilder& b, std::span<const std::int64_t> dims, const std::vector<ResizeTable>& tables) const {
    switch (b.in(0).dtype) {
      case TENON_DTYPE_FLOAT: return emit_blend<float, float>(b, dims, tables, value_);
      case TENON_DTYPE_UINT8: return emit_blend<std::uint8_t, float>(b, dims, tables, value_);
      case TENON_DTYPE_INT8: return emit_blend<std::int8_t, float>(b, dims, tables, value_);
      case TENON_DTYPE_DOUBLE: return emit_blend<double, double>(b, dims, tables, value_);
      case TENON_DTYPE_INT16: return emit_blend<std::int16_t, double>(b, dims, tables, value_);
      case TENON_DTYPE_UINT16: return emit_blend<std::uint16_t, double>(b, dims, tables, value_);
      case TENON_DTYPE_INT32: return emit_blend<std::int32_t, double>(b, dims, tables, value_);
      case TENON_DTYPE_UINT32: return emit_blend<std::uint32_t, double>(b, dims, tables, value_);
      case TENON_DTYPE_INT64: return emit_blend<std::int64_t, double>(b, dims, tables, value_);
      default: return emit_blend<std::uint64_t, double>(b, dims, tables, value_);
    }
  }

  // extrapolation_value as one element of the type; strings have "".
  const void* extrapolation(PlanBuilder& b, std::int32_t dtype) const {
    unsigned char bytes[16] = {};
    const auto put = [&](auto v) { std::memcpy(bytes, &v, sizeof(v)); };
    switch (dtype) {
      case TENON_DTYPE_FLOAT: case TENON_DTYPE_COMPLEX64: put(value_); break;
      case TENON_DTYPE_DOUBLE: case TENON_DTYPE_COMPLEX128: put(static_cast<double>(value_)); break;
      case TENON_DTYPE_UINT8: put(narrowed<std::uint8_t>(value_)); break;
      case TENON_DTYPE_INT8: put(narrowed<std::int8_t>(value_)); break;
      case TENON_DTYPE_UINT16: put(narrowed<std::uint16_t>(value_)); break;
      case TENON_DTYPE_INT16: put(narrowed<std::int16_t>(value_)); break;
      case TENON_DTYPE_UINT32: put(narrowed<std::uint32_t>(value_)); break;
      case TENON_DTYPE_INT32: put(narrowed<std::int32_t>(value_)); break;
      case TENON_DTYPE_UINT64: put(narrowed<std::uint64_t>(value_)); break;
      case TENON_DTYPE_INT64: put(narrowed<std::int64_t>(value_)); break;
      case TENON_DTYPE_BOOL: put(value_ != 0); break;
      default: break;  // "" is a string without bytes
    }
    return b.keep(std::span<const unsigned char>(bytes));
  }

  ResizeRule rule_;
  float value_;
  std::vector<std::int64_t> axes_;
  bool some_axes_ = false, channels_kept_ = false;
  std::string policy_;
};

// The rule that a node's attributes spell; a refusal where they spell none.
Support read_rule(const NodeView& node, ResizeRule& rule) {
  const auto pick = [&](const char* name, const char* fallback, auto& out, std::initializer_list<const char*> names) {
    const std::string_view given = node.string_or(name, fallback);
    int i = 0;
    for (const char* n : names) {
      if (given == n) {
        out = static_cast<std::remove_reference_t<decltype(out)>>(i);
        return Support::yes();
      }
      ++i;
    }
    return Support::no(TENON_REJECT_ATTRIBUTE, std::string(name) + " \"" + std::string(given) + "\" is not known");
  };
  std::uint8_t policy = 0;
  for (const Support& s :
       {pick("mode", "nearest", rule.mode, {"nearest", "linear", "cubic"}),
        pick("nearest_mode", "round_prefer_floor", rule.nearest, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
        pick("coordinate_transformation_mode", "half_pixel", rule.coordinates,
             {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"}),
        pick("keep_aspect_ratio_policy", "stretch", policy, {"stretch", "not_larger", "not_smaller"})})
    if (s.reason) return s;
  rule.antialias = node.int_or("antialias", 0) != 0 && rule.mode != ResizeMode::nearest;
  rule.exclude_outside = node.int_or("exclude_outside", 0) != 0;
  rule.cubic_a = node.float_or("cubic_coeff_a", -0.75f);
  return Support::yes();
}

Support supports(const NodeView& node) {
  ResizeRule rule;
  if (Support s = read_rule(node, rule); s.reason) return s;
  const std::int32_t dtype = node.dtype(0);
  if (rule.mode != ResizeMode::nearest && dtype != TENON_DTYPE_FLOAT && dtype != TENON_DTYPE_DOUBLE && !is_integer(dtype))
    return Support::no(TENON_REJECT_DTYPE, "elements of type " + std::to_string(dtype) + " cannot be blended");
  if (node.has_input(2) && node.dtype(2) != TENON_DTYPE_FLOAT) return Support::no(TENON_REJECT_DTYPE, "scales must be float32");
  if (node.has_input(1) && node.dtype(1) != TENON_DTYPE_FLOAT && node.dtype(1) != TENON_DTYPE_DOUBLE)
    return Support::no(TENON_REJECT_DTYPE, "roi must be floating point");
  return any_type(node);
}

std::unique_ptr<Op> make(const NodeView& node, CompileContext&) {
  ResizeRule rule;
  read_rule(node, rule);
  return std::make_unique<ResizeOp>(node, rule);
}

constexpr OpRow rows[] = {{"", "Resize", supports, make}};

std::span<const OpRow> plain_resize_rows() { return rows; }

}  // namespace

std::span<const OpRow> resize_rows() {
  static const std::vector<OpRow> all = join_rows({plain_resize_rows, grid_sample_rows});
  return all;
}

}  // namespace tenon::cpu
