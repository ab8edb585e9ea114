#include "plugins/cpu/ops/elements.h"

#include <algorithm>

#include "plugins/cpu/ops/small_float.h"

namespace tenon::cpu {
namespace {

int bits_at(const char* data, std::int64_t index, int bits) {
  const int per_byte = 8 / bits;
  return static_cast<unsigned char>(data[index / per_byte]) >> (index % per_byte * bits) & ((1 << bits) - 1);
}

void set_bits(char* data, std::int64_t index, int bits, int value) {
  const int per_byte = 8 / bits, shift = static_cast<int>(index % per_byte) * bits, mask = ((1 << bits) - 1) << shift;
  char& byte = data[index / per_byte];
  byte = static_cast<char>((static_cast<unsigned char>(byte) & ~mask) | (value << shift & mask));
}

template <class T>
T load(const void* data, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

}  // namespace

Element element_of(std::int32_t dtype) {
  switch (dtype) {
    case TENON_DTYPE_UINT8: case TENON_DTYPE_INT8: case TENON_DTYPE_BOOL:
    case TENON_DTYPE_FLOAT8E4M3FN: case TENON_DTYPE_FLOAT8E4M3FNUZ: case TENON_DTYPE_FLOAT8E5M2: case TENON_DTYPE_FLOAT8E5M2FNUZ:
    case TENON_DTYPE_FLOAT8E8M0: case TENON_DTYPE_FLOAT6E2M3: case TENON_DTYPE_FLOAT6E3M2: return Element::bytes1;
    case TENON_DTYPE_UINT16: case TENON_DTYPE_INT16: case TENON_DTYPE_FLOAT16: case TENON_DTYPE_BFLOAT16: return Element::bytes2;
    case TENON_DTYPE_FLOAT: case TENON_DTYPE_INT32: case TENON_DTYPE_UINT32: return Element::bytes4;
    case TENON_DTYPE_DOUBLE: case TENON_DTYPE_INT64: case TENON_DTYPE_UINT64: case TENON_DTYPE_COMPLEX64: return Element::bytes8;
    case TENON_DTYPE_COMPLEX128: return Element::bytes16;
    case TENON_DTYPE_UINT4: case TENON_DTYPE_INT4: case TENON_DTYPE_FLOAT4E2M1: return Element::bits4;
    case TENON_DTYPE_UINT2: case TENON_DTYPE_INT2: return Element::bits2;
    case TENON_DTYPE_STRING: return Element::text;
    default: throw Failure{TENON_UNIMPLEMENTED, "element type " + std::to_string(dtype) + " is not known"};
  }
}

// ---- Copier -----------------------------------------------------------------------------------------------------------

Copier::Copier(const StepContext& context, Element kind, Ref src, const tenon_address* dst, std::int32_t half)
    : context_(&context), src_(nullptr), dst_(nullptr), bytes_(half ? 0 : element_bytes(kind)), kind_(kind), half_(half), src_ref_(src),
      dst_address_(dst) {
  if (kind == Element::text) return;
  if (src.present()) src_ = context.ptr<const char>(src);
  if (dst) dst_ = data_of<char>(*dst);
}

void Copier::copy_slow(std::int64_t to, std::int64_t from, std::int64_t count) const {
  if (kind_ == Element::text) {
    for (std::int64_t i = 0; i < count; ++i)
      if (!set_text(*context_, *dst_address_, to + i, context_->text(src_ref_, from + i))) return;
    return;
  }
  if (half_) {
    const SmallFloat& format = half_ == TENON_DTYPE_FLOAT16 ? float16_format : bfloat16_format;
    for (std::int64_t i = 0; i < count; ++i)
      reinterpret_cast<std::uint16_t*>(dst_)[to + i] = static_cast<std::uint16_t>(encode(format, load<float>(src_, from + i), false));
    return;
  }
  const int bits = kind_ == Element::bits4 ? 4 : 2;
  for (std::int64_t i = 0; i < count; ++i) set_bits(dst_, to + i, bits, bits_at(src_, from + i, bits));
}

void Copier::fill(std::int64_t to, std::int64_t from, std::int64_t count) const {
  if (!bytes_) {
    for (std::int64_t i = 0; i < count; ++i) copy_slow(to + i, from, 1);
    return;
  }
  with_bytes(kind_, [&](auto zero) {
    using T = decltype(zero);
    const T value = reinterpret_cast<const T*>(src_)[from];
    T* d = reinterpret_cast<T*>(dst_) + to;
    for (std::int64_t i = 0; i < count; ++i) d[i] = value;
  });
}

void Copier::zero(std::int64_t to, std::int64_t count) const {
  if (bytes_) {
    std::memset(dst_ + to * bytes_, 0, static_cast<std::size_t>(count * bytes_));
  } else if (half_) {
    std::memset(dst_ + to * 2, 0, static_cast<std::size_t>(count * 2));
  } else if (kind_ == Element::text) {
    for (std::int64_t i = 0; i < count; ++i)
      if (!set_text(*context_, *dst_address_, to + i, {})) return;
  } else {
    for (std::int64_t i = 0; i < count; ++i) set_bits(dst_, to + i, kind_ == Element::bits4 ? 4 : 2, 0);
  }
}

void Copier::seal(std::int64_t count) const {
  if (bytes_ || half_ || kind_ == Element::text) return;
  const int bits = kind_ == Element::bits4 ? 4 : 2;
  for (std::int64_t i = count; i % (8 / bits) != 0; ++i) set_bits(dst_, i, bits, 0);
}

// ---- strings ----------------------------------------------------------------------------------------------------------

static void stop(const StepContext& context, tenon_status* status) {
  context.host->fail(context.run, status);
  if (context.failed) *context.failed = true;
}

bool set_text(const StepContext& context, const tenon_address& address, std::int64_t index, std::string_view text) {
  tenon_status* status = context.host->string_set(&address, static_cast<std::uint64_t>(index), {text.data(), text.size()});
  if (status) stop(context, status);
  return !status;
}

// ---- outputs ----------------------------------------------------------------------------------------------------------

Output output_of(PlanBuilder& builder, std::uint32_t i) {
  Output o;
  o.ref = builder.out_ref(i);
  if (!o.ref.present()) return o;
  o.operand = builder.out_operand(i);
  const Shape& shape = builder.out(i);
  if (std::all_of(shape.dims.begin(), shape.dims.end(), [](std::int64_t d) { return d >= 0; })) o.planned = shape.count();
  return o;
}

bool open_output(const StepContext& context, const Output& output, std::span<const std::int64_t> dims, tenon_address& out) {
  if (output.planned >= 0) {
    std::int64_t count = 1;
    for (std::int64_t d : dims) count *= d;
    out = context.addresses[output.ref.operand];
    if (count != output.planned) context.fail(TENON_INVALID_ARGUMENT, "the data do not give the planned size");
    return count == output.planned;
  }
  const auto rank = static_cast<std::uint32_t>(dims.size());
  tenon_status* status = context.host->alloc_output(context.run, output.operand, rank, dims.data(), &out);
  if (status) stop(context, status);
  return !status;
}
bool open_output(const StepContext& context, const Output& output, std::initializer_list<std::int64_t> dims, tenon_address& out) {
  return open_output(context, output, std::span<const std::int64_t>(dims.begin(), dims.size()), out);
}

// ---- integers, dims ---------------------------------------------------------------------------------------------------

std::int64_t int_at(const void* data, std::int32_t dtype, std::int64_t index) {
  switch (dtype) {
    case TENON_DTYPE_INT64: return load<std::int64_t>(data, index);
    case TENON_DTYPE_INT32: return load<std::int32_t>(data, index);
    case TENON_DTYPE_UINT32: return load<std::uint32_t>(data, index);
    case TENON_DTYPE_INT16: return load<std::int16_t>(data, index);
    case TENON_DTYPE_UINT16: return load<std::uint16_t>(data, index);
    case TENON_DTYPE_INT8: return load<std::int8_t>(data, index);
    case TENON_DTYPE_UINT8: case TENON_DTYPE_BOOL: return load<std::uint8_t>(data, index);
    default: return static_cast<std::int64_t>(load<std::uint64_t>(data, index));
  }
}

const void* known_data(const PlanBuilder& builder, std::uint32_t i) {
  const Shape& shape = builder.in(i);
  if (shape.dtype == TENON_DTYPE_UNDEFINED) return nullptr;
  return shape.known ? shape.known : builder.in_ref(i).constant;
}

std::optional<PlanList<std::int64_t>> known_ints(const PlanBuilder& builder, std::uint32_t i) {
  const void* data = known_data(builder, i);
  const Shape& shape = builder.in(i);
  if (shape.dtype != TENON_DTYPE_UNDEFINED && shape.count() == 0) return PlanList<std::int64_t>{};
  if (!data) return std::nullopt;
  PlanList<std::int64_t> values(static_cast<std::size_t>(shape.count()));
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = int_at(data, shape.dtype, static_cast<std::int64_t>(k));
  return values;
}

PlanList<std::int64_t> memory_dims(const Shape& shape) {
  PlanList<std::int64_t> dims(shape.dims.begin(), shape.dims.end());
  if (shape.block) dims[1] /= shape.block, dims.push_back(shape.block);
  return dims;
}

PlanList<std::int64_t> dense_strides(std::span<const std::int64_t> dims) {
  PlanList<std::int64_t> strides(dims.size());
  std::int64_t n = 1;
  for (std::size_t i = dims.size(); i-- > 0; n *= dims[i]) strides[i] = n;
  return strides;
}

std::int64_t checked_axis(std::int64_t axis, std::int64_t rank) {
  const std::int64_t at = resolve_axis(axis, rank);
  if (at < 0) throw Failure{TENON_INVALID_ARGUMENT, "axis " + std::to_string(axis) + " is outside rank " + std::to_string(rank)};
  return at;
}

// ---- supports ---------------------------------------------------------------------------------------------------------

Support any_type(const NodeView& node) {
  for (std::uint32_t i = 0; i < node.input_count(); ++i) {
    if (!node.has_input(i)) continue;
    if (node.input(i).kind != TENON_KIND_TENSOR) return Support::no(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " is no tensor");
    const std::int32_t dtype = node.input(i).dtype;
    if (dtype <= TENON_DTYPE_UNDEFINED || dtype > last_dtype)
      return Support::no(TENON_REJECT_DTYPE, "element type " + std::to_string(dtype) + " of input " + std::to_string(i) + " is not known");
  }
  return Support::yes();
}

Support index_type(const NodeView& node, std::uint32_t i) {
  const std::int32_t dtype = node.dtype(i);
  if (node.has_input(i) && dtype != TENON_DTYPE_INT32 && dtype != TENON_DTYPE_INT64)
    return Support::no(TENON_REJECT_DTYPE, "input " + std::to_string(i) + " must be int32 or int64, found type " + std::to_string(dtype));
  return Support::yes();
}

}  // namespace tenon::cpu
