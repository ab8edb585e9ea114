// Cast, CastLike, BitCast, and the conversions at a program's border.
//
// Inside a program the half types are float32: a cast to one rounds, a cast from one finds float32.
#include "plugins/cpu/ops/cast.h"

#include <algorithm>
#include <string>

#include "plugins/cpu/families.h"
#include "plugins/cpu/ops/elements.h"
#include "plugins/cpu/ops/elementwise.h"

namespace tenon::cpu {
namespace {

bool is_half(std::int32_t dtype) { return compute_dtype(dtype) != dtype; }
Isa isa_of(const PlanBuilder& builder) { return builder.options().plain ? Isa::plain : builder.options().isa; }
// Of n elements in memory; any type but strings.
std::int64_t memory_bytes(std::int32_t dtype, std::int64_t n) { return bytes_of(element_of(dtype), n); }

// ---- copies -----------------------------------------------------------------------------------------------------------

struct CopyStep {
  Ref from, to;
  std::int64_t bytes, strings;

  void operator()(const StepContext& c) const {
    if (strings >= 0) {
      for (std::int64_t i = 0; i < strings; ++i)
        if (!set_text(c, c.addresses[to.operand], i, c.text(from, i))) return;
      return;
    }
    const auto [begin, end] = c.slice(bytes, 4096);
    if (begin < end) std::memcpy(c.ptr<char>(to) + begin, c.ptr<const char>(from) + begin, static_cast<std::size_t>(end - begin));
  }
};

// Output 0 has the bytes of input 0.
class SameBytes final : public Op {
 public:
  std::int32_t alias_of() const override { return 0; }
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const Shape& out = builder.out(0);
    const bool text = out.dtype == TENON_DTYPE_STRING;
    const std::int64_t n = out.count();
    const CopyStep step{builder.in_ref(0), builder.out_ref(0), text ? 0 : memory_bytes(out.dtype, n), text ? n : -1};
    const Ref reads[] = {step.from}, writes[] = {step.to};
    builder.step("Cast", step,
                 {.spmd = !text, .est_ns = 20 + (text ? 60.0 * static_cast<double>(n) : static_cast<double>(step.bytes) / 10)}, reads,
                 writes);
  }
};

// ---- numbers ----------------------------------------------------------------------------------------------------------

// Up to three stages over chunks that stay in the first-level cache; element sizes in bits.
struct CastStep {
  Ref from, to;
  std::int64_t count;
  Unpack unpack;
  Convert convert;
  Pack pack;
  std::int32_t from_bytes, to_bytes;  // of plain numbers
  Rounding rounding;

  void operator()(const StepContext& c) const {
    constexpr std::int64_t chunk = 512;
    const auto [begin, end] = c.slice(count, 4096);
    if (begin >= end) return;
    const char* x = c.ptr<const char>(from);
    char* y = c.ptr<char>(to);
    if (!unpack && !pack) return convert(x + begin * from_bytes, y + begin * to_bytes, end - begin);
    alignas(64) char plain[chunk * 8], numbers[chunk * 8];
    for (std::int64_t i = begin; i < end; i += chunk) {
      const std::int64_t n = std::min(chunk, end - i);
      const void* at = x + i * from_bytes;
      if (unpack) unpack(x, i, n, plain), at = plain;
      convert(at, pack ? numbers : y + i * to_bytes, n);
      if (pack) pack(numbers, y, i, n, rounding);
    }
  }
};

// From the plain type or small type `from` to the raw dtype `to`.
class Cast final : public Op {
 public:
  Cast(std::int32_t from, std::int32_t to, const Rounding& rounding) {
    const SmallType source = small_type(compute_dtype(from)), target = small_type(to);
    const std::int32_t plain_from = source.unpack ? source.plain : compute_dtype(from), plain_to = target.pack ? target.packed_from : to;
    step_.unpack = source.unpack;
    step_.pack = target.pack;
    step_.convert = converter(plain_from, plain_to, target.pack && plain_to == TENON_DTYPE_DOUBLE);
    step_.rounding = rounding;
    step_.from_bytes = source.unpack ? 0 : static_cast<std::int32_t>(element_bytes(element_of(plain_from)));
    step_.to_bytes = target.pack ? 0 : static_cast<std::int32_t>(element_bytes(element_of(plain_to)));
  }
  bool possible() const { return step_.convert != nullptr; }

  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    CastStep step = step_;
    step.from = builder.in_ref(0), step.to = builder.out_ref(0);
    step.count = builder.out(0).count();
    const Ref reads[] = {step.from}, writes[] = {step.to};
    const double ns = step.pack ? 4 : step.unpack ? 2 : 0.3;
    builder.step("Cast", step, {.est_ns = 20 + ns * static_cast<double>(step.count)}, reads, writes);
  }

 private:
  CastStep step_{};
};

// ---- half types -------------------------------------------------------------------------------------------------------

template <class S, class T>
struct HalfStep {
  void (*convert)(const S*, T*, std::int64_t);
  Ref from, to;
  std::int64_t count;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(count, 2048);
    if (begin < end) convert(c.ptr<const S>(from) + begin, c.ptr<T>(to) + begin, end - begin);
  }
};

enum class HalfWork : std::uint8_t { widen, narrow, round };

class HalfCast final : public Op {
 public:
  HalfCast(HalfWork work, std::int32_t half) : work_(work), bfloat_(half == TENON_DTYPE_BFLOAT16) {}

  // Rounds blocked values where they lie.
  std::int32_t layout(std::span<std::int32_t> inputs, std::int32_t machine_block) override {
    const bool keep = work_ == HalfWork::round && machine_block && inputs[0] == machine_block;
    for (std::int32_t& block : inputs) block = 0;
    if (keep) inputs[0] = machine_block;
    return keep ? machine_block : 0;
  }

  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const HalfKernels& k = half_kernels(isa_of(builder));
    switch (work_) {
      case HalfWork::widen: return emit<std::uint16_t, float>(builder, bfloat_ ? k.widen_bfloat16 : k.widen_float16);
      case HalfWork::narrow: return emit<float, std::uint16_t>(builder, bfloat_ ? k.narrow_bfloat16 : k.narrow_float16);
      default:
        emit<float, float>(builder, bfloat_ ? k.round_bfloat16 : k.round_float16);
        if (!builder.in_ref(0).constant) builder.inplace(0, 0);
    }
  }

 private:
  template <class S, class T>
  void emit(PlanBuilder& builder, void (*convert)(const S*, T*, std::int64_t)) const {
    const HalfStep<S, T> step{convert, builder.in_ref(0), builder.out_ref(0), builder.out(0).count()};
    const Ref reads[] = {step.from}, writes[] = {step.to};
    builder.step("Cast", step, {.est_ns = 20 + static_cast<double>(step.count) * (sizeof(S) + sizeof(T)) / 10}, reads, writes);
  }

  HalfWork work_;
  bool bfloat_;
};

// Bits of one half type as those of the other: both are float32 here.
struct HalfBitsStep {
  Ref from, to;
  std::int64_t count;
  bool from_bfloat;

  void operator()(const StepContext& c) const {
    const auto [begin, end] = c.slice(count, 2048);
    const SmallFloat &source = from_bfloat ? bfloat16_format : float16_format, &target = from_bfloat ? float16_format : bfloat16_format;
    const float* x = c.ptr<const float>(from);
    float* y = c.ptr<float>(to);
    for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<float>(decode(target, encode(source, x[i], false)));
  }
};
class HalfBits final : public Op {
 public:
  explicit HalfBits(bool from_bfloat) : from_bfloat_(from_bfloat) {}
  void plan(PlanBuilder& builder) const override {
    if (!builder.out_ref(0).present()) return;
    const HalfBitsStep step{builder.in_ref(0), builder.out_ref(0), builder.out(0).count(), from_bfloat_};
    builder.step("BitCast", step, {.est_ns = 20 + 5.0 * static_cast<double>(step.count)});
  }

 private:
  bool from_bfloat_;
};

// ---- rows -------------------------------------------------------------------------------------------------------------

Rounding rounding_of(const NodeView& node) {
  const std::string_view mode = node.string_or("round_mode", "up");
  return {node.int_or("saturate", 1) != 0, mode == "down"      ? PowerRounding::down
                                           : mode == "nearest" ? PowerRounding::nearest
                                                               : PowerRounding::up};
}

// Declared types.
std::unique_ptr<Op> cast_between(std::int32_t from, std::int32_t to, const Rounding& rounding) {
  if (from == to || (is_half(from) && to == TENON_DTYPE_FLOAT)) return std::make_unique<SameBytes>();
  if (to == TENON_DTYPE_STRING) return make_number_to_text(from);
  if (from == TENON_DTYPE_STRING) return make_text_to_number(to, rounding);
  if (is_half(to) && compute_dtype(from) == TENON_DTYPE_FLOAT) return std::make_unique<HalfCast>(HalfWork::round, to);
  auto cast = std::make_unique<Cast>(from, to, rounding);
  if (!cast->possible()) return nullptr;
  return cast;
}

bool castable(std::int32_t dtype) {
  return dtype == TENON_DTYPE_STRING || is_half(dtype) || small_type(dtype).pack || is_plain_number(dtype);
}

Support supports_cast(const NodeView& node) {
  if (!node.has_input(0) || !node.has_output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (Support known = any_type(node); known.reason) return known;
  for (const std::int32_t dtype : {node.input(0).dtype, node.output(0).dtype})
    if (!castable(dtype)) return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(dtype) + " cannot be cast");
  const std::string_view mode = node.string_or("round_mode", "up");
  if (mode != "up" && mode != "down" && mode != "nearest")
    return Support::no(TENON_REJECT_ATTRIBUTE, "round_mode must be up, down or nearest");
  return Support::yes();
}
std::unique_ptr<Op> make_cast(const NodeView& node, CompileContext&) {
  return cast_between(node.input(0).dtype, node.output(0).dtype, rounding_of(node));
}

Support supports_bit_cast(const NodeView& node) {
  if (!node.has_input(0) || !node.has_output(0)) return Support::no(TENON_REJECT_OTHER, "an input or output is missing");
  if (Support known = any_type(node); known.reason) return known;
  const std::int32_t from = node.input(0).dtype, to = node.output(0).dtype;
  if (to <= TENON_DTYPE_UNDEFINED || to > last_dtype)
    return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(to) + " is not known");
  const Element a = element_of(from), b = element_of(to);
  if (a != b || a == Element::text)
    return Support::no(TENON_REJECT_DTYPE, "element types must have the same number of bits, and strings have none");
  return Support::yes();
}
std::unique_ptr<Op> make_bit_cast(const NodeView& node, CompileContext&) {
  const std::int32_t from = node.input(0).dtype, to = node.output(0).dtype;
  if (from == to || (!is_half(from) && !is_half(to))) return std::make_unique<SameBytes>();
  if (!is_half(from)) return std::make_unique<HalfCast>(HalfWork::widen, to);
  if (!is_half(to)) return std::make_unique<HalfCast>(HalfWork::narrow, from);
  return std::make_unique<HalfBits>(from == TENON_DTYPE_BFLOAT16);
}

constexpr OpRow rows[] = {
    {"", "Cast", supports_cast, make_cast},
    {"", "CastLike", supports_cast, make_cast},
    {"", "BitCast", supports_bit_cast, make_bit_cast},
};

}  // namespace

std::span<const OpRow> cast_rows() { return rows; }

std::unique_ptr<Op> make_convert(std::int32_t from_dtype, std::int32_t to_dtype) {
  return is_half(from_dtype) ? std::make_unique<HalfCast>(HalfWork::widen, from_dtype)
                             : std::make_unique<HalfCast>(HalfWork::narrow, to_dtype);
}

}  // namespace tenon::cpu
