#include "core/onnx/proto.h"

#include <charconv>
#include <cstring>

#include "core/base/file_map.h"
#include "core/onnx/external_data.h"

namespace tenon {
namespace {

// float6 in files: four elements in three bytes, the first in the lowest bits. In memory each element has a byte.
bool packed_in_files(DType dtype) { return dtype == TENON_DTYPE_FLOAT6E2M3 || dtype == TENON_DTYPE_FLOAT6E3M2; }

}  // namespace

Type type_from_proto(const onnx::TypeProto& proto, SymbolTable& symbols) {
  Type type;
  auto tensor = [&](const auto& t, std::int32_t kind) {
    type.kind = kind;
    type.dtype = t.elem_type();
    if (!t.has_shape()) return;
    type.dims.emplace();
    for (const auto& d : t.shape().dim()) {
      Dim dim;
      if (d.has_dim_value() && d.dim_value() >= 0) dim.value = d.dim_value();
      else if (d.has_dim_param() && !d.dim_param().empty()) dim.symbol = symbols.id(d.dim_param());
      type.dims->push_back(dim);
    }
  };
  auto element = [&](const onnx::TypeProto& t) { return std::make_shared<const Type>(type_from_proto(t, symbols)); };
  switch (proto.value_case()) {
    case onnx::TypeProto::kTensorType: tensor(proto.tensor_type(), TENON_KIND_TENSOR); break;
    case onnx::TypeProto::kSparseTensorType: tensor(proto.sparse_tensor_type(), TENON_KIND_SPARSE); break;
    case onnx::TypeProto::kSequenceType:
      type.kind = TENON_KIND_SEQUENCE;
      type.element = element(proto.sequence_type().elem_type());
      break;
    case onnx::TypeProto::kOptionalType:
      type.kind = TENON_KIND_OPTIONAL;
      type.element = element(proto.optional_type().elem_type());
      break;
    case onnx::TypeProto::kMapType:
      type.kind = TENON_KIND_MAP;
      type.dtype = proto.map_type().key_type();
      type.element = element(proto.map_type().value_type());
      break;
    default: break;
  }
  return type;
}

void type_to_proto(const Type& type, const SymbolTable& symbols, onnx::TypeProto& proto) {
  switch (type.kind) {
    case TENON_KIND_SEQUENCE:
      if (type.element) type_to_proto(*type.element, symbols, *proto.mutable_sequence_type()->mutable_elem_type());
      return;
    case TENON_KIND_OPTIONAL:
      if (type.element) type_to_proto(*type.element, symbols, *proto.mutable_optional_type()->mutable_elem_type());
      return;
    case TENON_KIND_MAP:
      proto.mutable_map_type()->set_key_type(type.dtype);
      if (type.element) type_to_proto(*type.element, symbols, *proto.mutable_map_type()->mutable_value_type());
      return;
    default: break;
  }
  auto* tensor = proto.mutable_tensor_type();
  tensor->set_elem_type(type.dtype);
  if (!type.dims) return;
  auto* shape = tensor->mutable_shape();
  for (const Dim& d : *type.dims) {
    auto* dim = shape->add_dim();
    if (d.fixed()) dim->set_dim_value(d.value);
    else if (d.symbol) dim->set_dim_param(symbols.name(d.symbol));
  }
}

void constant_to_proto(const Constant& constant, onnx::TensorProto& proto) {
  proto.set_data_type(constant.dtype);
  for (std::int64_t d : constant.dims) proto.add_dims(d);
  if (constant.dtype == TENON_DTYPE_STRING)
    for (const std::string& s : constant.strings) proto.add_string_data(s);
  else if (packed_in_files(constant.dtype))
    for (std::uint64_t i = 0; i < constant.bytes; ++i) proto.add_int32_data(std::to_integer<std::int32_t>(constant.data[i]));
  else if (constant.data)  // inference reads no constant that a recipe makes
    proto.set_raw_data(constant.data, constant.bytes);
}

void attribute_to_proto(const Attribute& attribute, onnx::AttributeProto& proto) {
  proto.set_name(attribute.name);
  proto.set_type(static_cast<onnx::AttributeProto::AttributeType>(attribute_type(attribute.value)));
  const AttributeValue& v = attribute.value;
  if (const auto* f = std::get_if<float>(&v)) proto.set_f(*f);
  else if (const auto* i = std::get_if<std::int64_t>(&v)) proto.set_i(*i);
  else if (const auto* s = std::get_if<std::string>(&v)) proto.set_s(*s);
  else if (const auto* t = std::get_if<ConstantPtr>(&v)) constant_to_proto(**t, *proto.mutable_t());
  else if (const auto* g = std::get_if<GraphPtr>(&v)) graph_to_proto(**g, *proto.mutable_g());
  else if (const auto* fs = std::get_if<std::vector<float>>(&v)) proto.mutable_floats()->Assign(fs->begin(), fs->end());
  else if (const auto* is = std::get_if<std::vector<std::int64_t>>(&v)) proto.mutable_ints()->Assign(is->begin(), is->end());
  else if (const auto* ss = std::get_if<std::vector<std::string>>(&v)) proto.mutable_strings()->Assign(ss->begin(), ss->end());
}

namespace {

// Elements spelled out one by one in a typed field; each is stored in `width` bytes.
template <class Field>
Status copy_elements(const Field& field, std::byte* dst, std::int64_t count, std::size_t width, std::string_view name) {
  if (field.size() != count)
    return error(TENON_DATA_LOSS, "tensor \"{}\": its shape needs {} elements, the file has {}", name, count, field.size());
  for (int i = 0; i < field.size(); ++i) {
    const auto v = field.Get(i);
    std::memcpy(dst + static_cast<std::size_t>(i) * width, &v, std::min(width, sizeof(v)));
  }
  return {};
}

Status fill_typed(const onnx::TensorProto& proto, Constant& c, std::byte* dst) {
  const std::int64_t count = c.count();
  const std::size_t width = static_cast<std::size_t>(dtype_bits(c.dtype) / 8);
  switch (c.dtype) {
    case TENON_DTYPE_FLOAT: return copy_elements(proto.float_data(), dst, count, 4, proto.name());
    case TENON_DTYPE_COMPLEX64: return copy_elements(proto.float_data(), dst, count * 2, 4, proto.name());
    case TENON_DTYPE_DOUBLE: return copy_elements(proto.double_data(), dst, count, 8, proto.name());
    case TENON_DTYPE_COMPLEX128: return copy_elements(proto.double_data(), dst, count * 2, 8, proto.name());
    case TENON_DTYPE_INT64: return copy_elements(proto.int64_data(), dst, count, 8, proto.name());
    case TENON_DTYPE_UINT32:
    case TENON_DTYPE_UINT64: return copy_elements(proto.uint64_data(), dst, count, width, proto.name());
    default:  // everything else is stored in int32_data; packed types one byte of elements each
      if (width == 0) return copy_elements(proto.int32_data(), dst, static_cast<std::int64_t>(c.bytes), 1, proto.name());
      return copy_elements(proto.int32_data(), dst, count, width, proto.name());
  }
}

// Elements that the typed field of a dtype holds, of those that fill_typed reads.
std::int64_t typed_elements(const onnx::TensorProto& proto, DType dtype) {
  switch (dtype) {
    case TENON_DTYPE_FLOAT: return proto.float_data_size();
    case TENON_DTYPE_COMPLEX64: return proto.float_data_size() / 2;
    case TENON_DTYPE_DOUBLE: return proto.double_data_size();
    case TENON_DTYPE_COMPLEX128: return proto.double_data_size() / 2;
    case TENON_DTYPE_INT64: return proto.int64_data_size();
    case TENON_DTYPE_UINT32:
    case TENON_DTYPE_UINT64: return proto.uint64_data_size();
    default: return dtype_bits(dtype) < 8 ? std::int64_t{proto.int32_data_size()} * 8 / dtype_bits(dtype) : proto.int32_data_size();
  }
}

std::uint64_t packed_bytes(std::int64_t count) { return static_cast<std::uint64_t>(count) / 4 * 3 + (static_cast<std::uint64_t>(count) % 4 * 6 + 7) / 8; }

// Bytes that the tensor takes as raw or external data.
Result<std::uint64_t> file_bytes(const onnx::TensorProto& proto) {
  const std::string where = "tensor \"" + proto.name() + "\"";
  TENON_ASSIGN(const std::int64_t count, element_count(Dims(proto.dims().begin(), proto.dims().end())).get(where));
  if (packed_in_files(proto.data_type())) return packed_bytes(count);
  TENON_ASSIGN(const std::int64_t bytes, dtype_bytes(proto.data_type(), count).get(where));
  return static_cast<std::uint64_t>(bytes);
}

Result<ConstantPtr> unpacked(DType dtype, Dims dims, const std::byte* packed) {
  std::byte* data = nullptr;
  TENON_ASSIGN(auto c, make_constant(dtype, std::move(dims), &data));
  for (std::size_t i = 0; i < static_cast<std::size_t>(c->count()); ++i) {
    const std::size_t bit = i * 6, at = bit / 8;
    unsigned two = std::to_integer<unsigned>(packed[at]);
    if (bit % 8 > 2) two |= std::to_integer<unsigned>(packed[at + 1]) << 8;
    data[i] = static_cast<std::byte>(two >> (bit % 8) & 0x3f);
  }
  return ConstantPtr(c);
}

}  // namespace

Result<ConstantPtr> constant_from_proto(const onnx::TensorProto& proto, Payloads& payloads) {
  const std::string where = "tensor \"" + proto.name() + "\"";
  const DType dtype = proto.data_type();
  if (dtype_name(dtype) == "undefined")
    return invalid("{}: unknown element type {}; known are 1 to {}", where, dtype, TENON_DTYPE_FLOAT6E3M2);
  if (proto.dims_size() > payloads.max_rank)
    return error(TENON_RESOURCE_EXHAUSTED, "{}: rank {} is over limits.rank = {}", where, proto.dims_size(), payloads.max_rank);
  Dims dims(proto.dims().begin(), proto.dims().end());
  TENON_ASSIGN(const std::int64_t count, element_count(dims).get(where));
  if (dtype == TENON_DTYPE_STRING) {
    if (proto.string_data_size() != count)
      return error(TENON_DATA_LOSS, "{}: its shape needs {} strings, the file has {}", where, count, proto.string_data_size());
    TENON_ASSIGN(auto c, make_constant(dtype, dims, nullptr));
    c->strings.assign(proto.string_data().begin(), proto.string_data().end());
    return ConstantPtr(c);
  }
  TENON_ASSIGN(std::int64_t bytes, dtype_bytes(dtype, count).get(where));
  const bool packed = packed_in_files(dtype);
  if (packed && (proto.has_raw_data() || proto.data_location() == onnx::TensorProto::EXTERNAL)) bytes = static_cast<std::int64_t>(packed_bytes(count));
  if (static_cast<std::uint64_t>(bytes) > payloads.max_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "{}: {} bytes are over limits.memory = {}", where, bytes, payloads.max_bytes);
  auto size_mismatch = [&](std::uint64_t found) {
    return error(TENON_DATA_LOSS, "{}: shape {} of {} needs {} bytes, the file has {}", where, dims_text(dims), dtype_name(dtype),
                 bytes, found);
  };
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    TENON_ASSIGN(ExternalRange range, external_range(proto, static_cast<std::uint64_t>(bytes), payloads));
    if (packed) return unpacked(dtype, std::move(dims), range.data);
    auto c = wrap_constant(dtype, dims, range.data, static_cast<std::uint64_t>(bytes), range.keep);
    c->mapped = range.source != nullptr;
    c->source = range.source;
    c->file = std::move(range.file);
    c->offset = range.offset;
    return ConstantPtr(c);
  }
  if (proto.has_raw_data()) {
    if (auto lifted = payloads.slim ? payloads.slim->lifted(proto.raw_data()) : std::nullopt) {
      if (lifted->bytes != static_cast<std::uint64_t>(bytes)) return size_mismatch(lifted->bytes);
      if (packed) return unpacked(dtype, std::move(dims), payloads.bytes.data() + lifted->offset);
      auto c = wrap_constant(dtype, dims, payloads.bytes.data() + lifted->offset, lifted->bytes, payloads.keep);
      c->mapped = payloads.source != nullptr;
      c->file = payloads.file;
      c->source = payloads.source;
      c->offset = (payloads.bundle ? payloads.bundle->index().model.offset : 0) + lifted->offset;
      return ConstantPtr(c);
    }
    if (proto.raw_data().size() != static_cast<std::uint64_t>(bytes)) return size_mismatch(proto.raw_data().size());
    if (packed) return unpacked(dtype, std::move(dims), reinterpret_cast<const std::byte*>(proto.raw_data().data()));
  }
  // A shape alone must not take memory: a file of forty bytes can claim any size.
  if (!proto.has_raw_data() && typed_elements(proto, dtype) < count)
    return error(TENON_DATA_LOSS, "{}: its shape needs {} elements, the file has {}", where, count, typed_elements(proto, dtype));
  std::byte* data = nullptr;
  TENON_ASSIGN(auto c, make_constant(dtype, dims, &data));
  if (proto.has_raw_data()) std::memcpy(data, proto.raw_data().data(), static_cast<std::size_t>(bytes));
  else if (count > 0) TENON_TRY(fill_typed(proto, *c, data));
  return ConstantPtr(c);
}

Result<std::optional<std::span<const std::byte>>> outside_bytes(const onnx::TensorProto& proto, Payloads& payloads) {
  using Bytes = std::optional<std::span<const std::byte>>;
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    TENON_ASSIGN(const std::uint64_t bytes, file_bytes(proto));
    TENON_ASSIGN(const ExternalRange range, external_range(proto, bytes, payloads));
    return Bytes({range.data, bytes});
  }
  const auto lifted = payloads.slim && proto.has_raw_data() ? payloads.slim->lifted(proto.raw_data()) : std::nullopt;
  return lifted ? Bytes(payloads.bytes.subspan(lifted->offset, lifted->bytes)) : Bytes();
}

}  // namespace tenon
