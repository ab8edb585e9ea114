// QuantizeLinear, DequantizeLinear: per tensor, per axis, in blocks. DynamicQuantizeLinear.
#include <algorithm>
#include <cmath>
#include <string>

#include "plugins/cpu/ops/byte_finish.h"
#include "plugins/cpu/ops/cast.h"
#include "plugins/cpu/ops/quantize.h"

namespace tenon::cpu {
namespace {

// Where the scale of an element stands: element e of [outer, size, inner] has scale (o * scales + a / block) * inner + i with
// blocks, a along an axis, 0 for the whole tensor.
struct Scales {
  std::int64_t size = 1, inner = 1, block = 0, count = 1;  // block 0: one scale for each index of the axis
  bool whole = true;

  std::int64_t of(std::int64_t e) const {
    if (whole) return 0;
    const std::int64_t a = e / inner % size;
    return block == 0 ? a : (e / (inner * size) * count + a / block) * inner + e % inner;
  }
  // How many elements from e on share its scale.
  std::int64_t run(std::int64_t e) const { return whole ? INT64_MAX : block == 0 ? inner - e % inner : 1; }
};

Scales scales_of(const Shape& x, const Shape& scale, std::int64_t axis, std::int64_t block) {
  Scales s;
  if (scale.count() == 1 && block == 0) return s;
  if (axis < 0) axis += x.rank();
  if (axis < 0 || axis >= x.rank()) throw Failure{TENON_INVALID_ARGUMENT, "axis " + std::to_string(axis) + " is outside rank " + std::to_string(x.rank())};
  s.whole = false;
  s.size = x[axis], s.inner = x.inner(axis), s.block = block;
  if (block == 0) {
    if (scale.count() != s.size)
      throw Failure{TENON_INVALID_ARGUMENT, std::to_string(scale.count()) + " scales for " + std::to_string(s.size) + " indices of axis " + std::to_string(axis)};
  } else {
    s.count = scale.rank() == x.rank() ? scale[axis] : 0;
    if (s.count != (s.size + block - 1) / block || scale.count() != x.outer(axis) * s.count * s.inner)
      throw Failure{TENON_INVALID_ARGUMENT, "the scales do not have the shape that block_size " + std::to_string(block) + " asks for"};
  }
  return s;
}

// Calls f(begin, end, scale index) for stretches of one scale.
template <class F>
inline void for_runs(const Scales& s, std::int64_t begin, std::int64_t end, F f) {
  for (std::int64_t e = begin; e < end;) {
    const std::int64_t stop = std::min(end, e + std::min(s.run(e), end - e));
    f(e, stop, s.of(e));
    e = stop;
  }
}

// Scales as float32; a scale of type float8e8m0 is a power of two.
struct ScaleReader {
  Ref ref;
  std::int32_t dtype;

  float at(const StepContext& c, std::int64_t i) const {
    if (dtype == TENON_DTYPE_FLOAT) return c.ptr<const float>(ref)[i];
    if (dtype == TENON_DTYPE_INT32) return static_cast<float>(c.ptr<const std::int32_t>(ref)[i]);
    return static_cast<float>(decode_power(c.ptr<const std::uint8_t>(ref)[i]));
  }
};
ScaleReader scale_reader(const PlanBuilder& b) { return {b.in_ref(1), b.in(1).dtype}; }

constexpr std::int64_t staged = 512;  // elements of a chunk on their way through plain numbers

// n elements of a small type, minus a zero point, as float32. room: for integers of 8 bits.
void read_staged(const SmallType& type, const void* from, std::int64_t first, std::int64_t n, std::int8_t* room, float* to) {
  if (type.plain == TENON_DTYPE_FLOAT) return type.unpack(from, first, n, to);
  type.unpack(from, first, n, room);
  for (std::int64_t i = 0; i < n; ++i) to[i] = room[i];
}

// float8, float4 and packed integers.
struct StagedDequantize {
  Scales scales;
  ScaleReader scale;
  SmallType type;
  Ref x, zero, y;
  std::int64_t n;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(n, 1024);
    const void* in = c.ptr<const void>(x);
    float* out = c.ptr<float>(y);
    std::int8_t room[staged];
    for (std::int64_t first = begin; first < end; first += staged) {
      const std::int64_t last = std::min(end, first + staged);
      read_staged(type, in, first, last - first, room, out + first);
      for_runs(scales, first, last, [&](std::int64_t e, std::int64_t stop, std::int64_t at) {
        const float factor = scale.at(c, at);
        float z = 0;
        if (zero.present()) read_staged(type, c.ptr<const void>(zero), at, 1, room, &z);
        for (; e < stop; ++e) out[e] = (out[e] - z) * factor;
      });
    }
  }
};

struct StagedQuantize {
  Scales scales;
  ScaleReader scale;
  SmallType type;
  std::int32_t from, to;
  Rounding rounding;
  Ref x, zero, y;
  std::int64_t n;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(n, 1024);  // whole bytes
    const float* real = c.ptr<const float>(x);
    const auto* whole = c.ptr<const std::int32_t>(x);
    const bool integer = type.packed_from == TENON_DTYPE_INT8;
    const QuantizedRange range = range_of(to);
    double numbers[staged];
    std::int8_t integers[staged], room[1];
    for (std::int64_t first = begin; first < end; first += staged) {
      const std::int64_t last = std::min(end, first + staged);
      for_runs(scales, first, last, [&](std::int64_t e, std::int64_t stop, std::int64_t at) {
        const float factor = scale.at(c, at);
        float z = 0;
        if (zero.present()) read_staged(type, c.ptr<const void>(zero), at, 1, room, &z);
        for (; e < stop; ++e) {
          const float value = from == TENON_DTYPE_INT32 ? static_cast<float>(whole[e]) : real[e];
          if (integer) integers[e - first] = static_cast<std::int8_t>(quantize(value, factor, static_cast<std::int32_t>(z), range));
          else numbers[e - first] = z == 0 ? value / factor : value / factor + z;  // -0 stays
        }
      });
      type.pack(integer ? static_cast<const void*>(integers) : numbers, c.ptr<void>(y), first, last - first, rounding);
    }
  }
};

class DequantizeOp final : public Op {
 public:
  DequantizeOp(std::int64_t axis, std::int64_t block, const Rounding&) : axis_(axis), block_(block) {}
  void plan(PlanBuilder& b) const override {
    const std::int64_t n = b.in(0).count();
    if (n == 0) return;
    const Scales s = scales_of(b.in(0), b.in(1), axis_, block_);
    const Ref x = b.in_ref(0), zero = b.in_ref(2), y = b.out_ref(0);
    const std::int32_t dtype = b.in(0).dtype;
    StepOptions o;
    o.est_ns = static_cast<double>(n) * 0.5;
    if (is_staged(dtype)) {
      b.step("DequantizeLinear", StagedDequantize{s, scale_reader(b), small_type(dtype), x, zero, y, n}, o);
      return;
    }
    const ScaleReader reader = scale_reader(b);
    const bool bytes = is_integer8(dtype) && !b.options().plain;
    if (bytes) o.est_ns = static_cast<double>(n) * 0.1;
    b.step("DequantizeLinear", [=, finish = &byte_finish(b.options().isa)](const StepContext& c) {
      const auto [begin, end] = c.slice(n, 1024);
      const void* in = c.ptr<const void>(x);
      const void* zeros = zero.present() ? c.ptr<const void>(zero) : nullptr;
      float* out = c.ptr<float>(y);
      for_runs(s, begin, end, [&](std::int64_t e, std::int64_t stop, std::int64_t at) {
        const float factor = reader.at(c, at);
        const std::int32_t z = zeros ? read_quantized(zeros, dtype, at) : 0;
        if (bytes && stop - e >= 16) {
          const bool is_signed = dtype == TENON_DTYPE_INT8;
          finish->dequantize(static_cast<const std::uint8_t*>(in) + e, stop - e, z + (is_signed ? 128 : 0), is_signed ? 0x80 : 0, factor, out + e);
          return;
        }
        if (dtype == TENON_DTYPE_UINT8) {
          const auto* p = static_cast<const std::uint8_t*>(in);
          for (; e < stop; ++e) out[e] = static_cast<float>(p[e] - z) * factor;
        } else if (dtype == TENON_DTYPE_INT8) {
          const auto* p = static_cast<const std::int8_t*>(in);
          for (; e < stop; ++e) out[e] = static_cast<float>(p[e] - z) * factor;
        } else {
          for (; e < stop; ++e) out[e] = static_cast<float>(static_cast<std::int64_t>(read_quantized(in, dtype, e)) - z) * factor;
        }
      });
    }, o);
  }

 private:
  std::int64_t axis_, block_;
};

class QuantizeOp final : public Op {
 public:
  QuantizeOp(std::int64_t axis, std::int64_t block, const Rounding& rounding) : axis_(axis), block_(block), rounding_(rounding) {}
  void plan(PlanBuilder& b) const override {
    const std::int64_t n = b.in(0).count();
    if (n == 0) return;
    const Scales s = scales_of(b.in(0), b.in(1), axis_, block_);
    const Ref x = b.in_ref(0), zero = b.in_ref(2), y = b.out_ref(0);
    const std::int32_t from = b.in(0).dtype, to = b.out(0).dtype;
    StepOptions o;
    o.est_ns = static_cast<double>(n) * 0.7;
    const ScaleReader reader = scale_reader(b);
    if (is_staged(to)) {
      b.step("QuantizeLinear", StagedQuantize{s, reader, small_type(to), from, to, rounding_, x, zero, y, n}, o);
      return;
    }
    const bool bytes = from == TENON_DTYPE_FLOAT && is_integer8(to) && !b.options().plain;
    if (bytes) o.est_ns = static_cast<double>(n) * 0.15;
    b.step("QuantizeLinear", [=, finish = &byte_finish(b.options().isa)](const StepContext& c) {
      const auto [begin, end] = c.slice(n, 1024);
      const float* in = c.ptr<const float>(x);
      const auto* whole = c.ptr<const std::int32_t>(x);
      const void* zeros = zero.present() ? c.ptr<const void>(zero) : nullptr;
      void* out = c.ptr<void>(y);
      const QuantizedRange range = range_of(to);
      const auto value = [&](std::int64_t e) { return from == TENON_DTYPE_INT32 ? static_cast<float>(whole[e]) : in[e]; };
      for_runs(s, begin, end, [&](std::int64_t e, std::int64_t stop, std::int64_t at) {
        const float factor = reader.at(c, at);
        const std::int32_t z = zeros ? read_quantized(zeros, to, at) : 0;
        if (bytes && stop - e >= 16) {
          finish->quantize_real(in + e, stop - e, factor, byte_target(to == TENON_DTYPE_INT8, z), static_cast<std::uint8_t*>(out) + e);
          return;
        }
        const auto fill = [&](auto* p) {
          if (from == TENON_DTYPE_INT32)
            for (; e < stop; ++e) p[e] = static_cast<std::remove_reference_t<decltype(*p)>>(quantize(value(e), factor, z, range));
          else
            for (; e < stop; ++e) p[e] = static_cast<std::remove_reference_t<decltype(*p)>>(quantize(in[e], factor, z, range));
        };
        switch (to) {
          case TENON_DTYPE_UINT8: fill(static_cast<std::uint8_t*>(out)); break;
          case TENON_DTYPE_INT8: fill(static_cast<std::int8_t*>(out)); break;
          case TENON_DTYPE_UINT16: fill(static_cast<std::uint16_t*>(out)); break;
          default: fill(static_cast<std::int16_t*>(out));
        }
      });
    }, o);
  }

 private:
  std::int64_t axis_, block_;
  Rounding rounding_;
};

// uint8 with a scale and zero point for the range of the data, 0 included.
class DynamicQuantizeOp final : public Op {
 public:
  void plan(PlanBuilder& b) const override {
    const std::int64_t n = b.in(0).count();
    const Ref x = b.in_ref(0), y = b.out_ref(0), scale = b.out_ref(1), zero = b.out_ref(2);
    struct Extremes {
      float least, greatest;
      char pad[56];
    };
    const std::uint32_t slots = std::max<std::uint32_t>(b.options().max_workers, 1);
    const Ref extremes = b.temp(sizeof(Extremes) * slots);
    StepOptions o;
    o.est_ns = static_cast<double>(n) * 0.05;
    const ByteFinish* const finish = &byte_finish(b.options().isa);
    const bool plain = b.options().plain;
    b.step("extremes", [=](const StepContext& c) {
      const auto [begin, end] = c.slice(n, 1024);
      const float* in = c.ptr<const float>(x);
      float least = 0, greatest = 0;  // 0 is always inside
      if (!plain) finish->extremes(in + begin, end - begin, &least, &greatest);
      for (std::int64_t e = begin; plain && e < end; ++e) least = std::min(least, in[e]), greatest = std::max(greatest, in[e]);
      // Fewer workers than the plan allows may come: the others' entries are set for them.
      if (c.worker == 0)
        for (std::uint32_t w = c.workers; w < slots; ++w) c.ptr<Extremes>(extremes)[w] = {};
      Extremes& mine = c.ptr<Extremes>(extremes)[c.worker];
      mine.least = least;
      mine.greatest = greatest;
    }, o, {{x}}, {{extremes}});
    o.est_ns = static_cast<double>(n) * 0.15;
    std::vector<Ref> writes;
    for (Ref r : {y, scale, zero})
      if (r.present()) writes.push_back(r);
    b.step("DynamicQuantizeLinear", [=](const StepContext& c) {
      float least = 0, greatest = 0;
      for (std::uint32_t w = 0; w < slots; ++w) {
        least = std::min(least, c.ptr<Extremes>(extremes)[w].least);
        greatest = std::max(greatest, c.ptr<Extremes>(extremes)[w].greatest);
      }
      const float factor = (greatest - least) / 255.0f;
      const float safe = factor > 0 ? factor : 1.0f;
      const float exact = std::clamp(0.0f - least / safe, 0.0f, 255.0f);
      const auto z = exact == exact ? static_cast<std::int32_t>(round_even(exact)) : 0;  // infinite elements have no zero point
      if (c.worker == 0) {
        if (scale.present()) *c.ptr<float>(scale) = factor;
        if (zero.present()) *c.ptr<std::uint8_t>(zero) = static_cast<std::uint8_t>(z);
      }
      if (!y.present()) return;
      const auto [begin, end] = c.slice(n, 1024);
      const float* in = c.ptr<const float>(x);
      auto* out = c.ptr<std::uint8_t>(y);
      if (!plain) finish->quantize_real(in + begin, end - begin, safe, byte_target(false, z), out + begin);
      for (std::int64_t e = begin; plain && e < end; ++e) out[e] = static_cast<std::uint8_t>(quantize(in[e], safe, z, {0, 255}));
    }, o, {{x, extremes}}, writes);
  }
};

// Scale and zero point, which has the quantized type.
Support supports_operands(const NodeView& n, std::int32_t quantized) {
  if (n.dtype(1) != TENON_DTYPE_FLOAT && n.dtype(1) != TENON_DTYPE_FLOAT8E8M0 && n.dtype(1) != TENON_DTYPE_INT32)
    return Support::no(TENON_REJECT_DTYPE, "scale must be float32, float8e8m0, int32 or a half type");
  if (n.has_input(2) && n.dtype(2) != quantized) return Support::no(TENON_REJECT_DTYPE, "the zero point must have the quantized type");
  return Support::yes();
}
Support supports_dequantize(const NodeView& n) {
  const std::int32_t t = n.dtype(0);
  if (!is_quantized(t) && !is_staged(t) && t != TENON_DTYPE_INT32)
    return Support::no(TENON_REJECT_DTYPE, "no kernel for input element type " + std::to_string(t));
  if (compute_dtype(n.output(0).dtype) != TENON_DTYPE_FLOAT)
    return Support::no(TENON_REJECT_DTYPE, "the output must be float32 or a half type");
  return supports_operands(n, t);
}
Support supports_quantize(const NodeView& n) {
  const std::int32_t t = n.dtype(0), to = n.output(0).dtype;
  if (t != TENON_DTYPE_FLOAT && t != TENON_DTYPE_INT32) return Support::no(TENON_REJECT_DTYPE, "no kernel for input element type " + std::to_string(t));
  if (!is_quantized(to) && !is_staged(to))
    return Support::no(TENON_REJECT_DTYPE, "no kernel for output element type " + std::to_string(to));
  return supports_operands(n, to);
}
Support supports_dynamic(const NodeView& n) {
  return n.dtype(0) == TENON_DTYPE_FLOAT ? Support::yes() : Support::no(TENON_REJECT_DTYPE, "only float32");
}

template <class T>
std::unique_ptr<Op> make_linear(const NodeView& n, CompileContext&) {
  return std::make_unique<T>(n.int_or("axis", 1), n.int_or("block_size", 0), Rounding{n.int_or("saturate", 1) != 0, PowerRounding::up});
}
std::unique_ptr<Op> make_dynamic(const NodeView&, CompileContext&) { return std::make_unique<DynamicQuantizeOp>(); }

constexpr OpRow rows[] = {
    {"", "DequantizeLinear", supports_dequantize, make_linear<DequantizeOp>},
    {"", "QuantizeLinear", supports_quantize, make_linear<QuantizeOp>},
    {"", "DynamicQuantizeLinear", supports_dynamic, make_dynamic},
    {"com.microsoft", "DequantizeLinear", supports_dequantize, make_linear<DequantizeOp>},
    {"com.microsoft", "QuantizeLinear", supports_quantize, make_linear<QuantizeOp>},
};

}  // namespace

std::span<const OpRow> linear_quantize_rows() { return rows; }

}  // namespace tenon::cpu
