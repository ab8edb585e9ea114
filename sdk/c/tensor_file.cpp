// Serialized values of the C API.
#include "core/onnx/tensor_file.h"

#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

tenon_status* tenon_datum_parse(int32_t kind, const void* data, size_t bytes, char** out_name, tenon_datum** out_datum) {
  return guard([&]() -> Status {
    if (!data && bytes) return missing("data");
    if (!out_datum) return missing("out_datum");
    std::string name;
    TENON_ASSIGN(Datum datum, parse_datum(kind, {static_cast<const std::byte*>(data), bytes}, name));
    auto made = std::make_unique<Datum>(std::move(datum));
    if (out_name) TENON_TRY(give_text(name, out_name));
    *out_datum = wrap(made.release());
    return {};
  });
}

tenon_status* tenon_datum_parse_tensor(const void* data, size_t bytes, char** out_name, tenon_datum** out_datum) {
  return tenon_datum_parse(TENON_KIND_TENSOR, data, bytes, out_name, out_datum);
}
