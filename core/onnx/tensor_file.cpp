#include "core/onnx/tensor_file.h"

#include <cstring>

#include <onnx/onnx-data.pb.h>

#include "core/onnx/proto.h"

namespace tenon {
namespace {

// What holds values calls itself back; protobuf allows messages 100 deep.
Result<Datum> datum_of(const onnx::SequenceProto& proto);
Result<Datum> datum_of(const onnx::MapProto& proto);
Result<Datum> datum_of(const onnx::OptionalProto& proto);

Result<Datum> datum_of(const onnx::TensorProto& proto) {
  Payloads payloads;
  TENON_ASSIGN(const ConstantPtr c, constant_from_proto(proto, payloads));
  TENON_ASSIGN(Datum d, Datum::tensor(c->dtype, c->dims));
  if (d.strings) *d.strings = c->strings;
  else if (d.bytes) std::memcpy(d.data, c->data, d.bytes);
  return d;
}

template <class Field>
Status add_items(const Field& field, Datum& d) {
  for (const auto& proto : field) {
    TENON_ASSIGN(Datum item, datum_of(proto));
    d.items.push_back(std::move(item));
  }
  return {};
}

Result<Datum> datum_of(const onnx::SequenceProto& proto) {
  Datum d;
  d.kind = TENON_KIND_SEQUENCE;
  switch (proto.elem_type()) {
    case onnx::SequenceProto::UNDEFINED: break;
    case onnx::SequenceProto::TENSOR: TENON_TRY(add_items(proto.tensor_values(), d)); break;
    case onnx::SequenceProto::SEQUENCE: TENON_TRY(add_items(proto.sequence_values(), d)); break;
    case onnx::SequenceProto::MAP: TENON_TRY(add_items(proto.map_values(), d)); break;
    case onnx::SequenceProto::OPTIONAL: TENON_TRY(add_items(proto.optional_values(), d)); break;
    default: return invalid("sequence \"{}\": elements of type {} cannot be read", proto.name(), proto.elem_type());
  }
  if (!d.items.empty()) d.dtype = d.items.front().dtype;
  return d;
}

Result<Datum> datum_of(const onnx::MapProto& proto) {
  TENON_ASSIGN(Datum values, datum_of(proto.values()));
  Datum d;
  d.kind = TENON_KIND_MAP;
  d.items = std::move(values.items);
  d.int_keys.assign(proto.keys().begin(), proto.keys().end());
  d.string_keys.assign(proto.string_keys().begin(), proto.string_keys().end());
  const bool texts = proto.key_type() == onnx::TensorProto::STRING;
  d.dtype = texts ? TENON_DTYPE_STRING : TENON_DTYPE_INT64;
  const std::size_t keys = texts ? d.string_keys.size() : d.int_keys.size();
  if (keys != d.items.size() || (texts ? d.int_keys.size() : d.string_keys.size()) != 0)
    return invalid("map \"{}\": {} {} keys for {} values", proto.name(), keys, texts ? "string" : "integer", d.items.size());
  return d;
}

Result<Datum> datum_of(const onnx::OptionalProto& proto) {
  Datum d;
  d.kind = TENON_KIND_OPTIONAL;
  const auto hold = [&](const auto& value) -> Status {
    TENON_ASSIGN(Datum item, datum_of(value));
    d.dtype = item.dtype;
    d.items.push_back(std::move(item));
    return {};
  };
  switch (proto.elem_type()) {
    case onnx::OptionalProto::UNDEFINED: break;
    case onnx::OptionalProto::TENSOR: if (proto.has_tensor_value()) TENON_TRY(hold(proto.tensor_value())); break;
    case onnx::OptionalProto::SEQUENCE: if (proto.has_sequence_value()) TENON_TRY(hold(proto.sequence_value())); break;
    case onnx::OptionalProto::MAP: if (proto.has_map_value()) TENON_TRY(hold(proto.map_value())); break;
    case onnx::OptionalProto::OPTIONAL: if (proto.has_optional_value()) TENON_TRY(hold(proto.optional_value())); break;
    default: return invalid("optional \"{}\": a value of type {} cannot be read", proto.name(), proto.elem_type());
  }
  return d;
}

template <class Proto>
Result<Datum> parse(const char* noun, std::span<const std::byte> bytes, std::string& out_name) try {
  Proto proto;
  if (bytes.size() > 0x7fffffff || !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return error(TENON_DATA_LOSS, "not a serialized ONNX {}", noun);
  TENON_ASSIGN(Datum d, datum_of(proto));
  out_name = proto.name();
  return d;
} catch (const std::exception& e) {
  return error(TENON_DATA_LOSS, "not a serialized ONNX {}: {}", noun, e.what());
}

}  // namespace

Result<Datum> parse_datum(std::int32_t kind, std::span<const std::byte> bytes, std::string& out_name) {
  switch (kind) {
    case TENON_KIND_TENSOR: return parse<onnx::TensorProto>("tensor", bytes, out_name);
    case TENON_KIND_SEQUENCE: return parse<onnx::SequenceProto>("sequence", bytes, out_name);
    case TENON_KIND_MAP: return parse<onnx::MapProto>("map", bytes, out_name);
    case TENON_KIND_OPTIONAL: return parse<onnx::OptionalProto>("optional", bytes, out_name);
    default: return error(TENON_UNIMPLEMENTED, "files of values of kind {} cannot be read", kind);
  }
}

}  // namespace tenon
