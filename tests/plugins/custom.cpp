// A provider with an operator of its own domain: test.acme Affine, y = scale * x + offset, and MinMax with two outputs.
#include <algorithm>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

struct Affine {
  float scale, offset;
};

std::optional<Refusal> float_input(const Node& node) {
  if (node.input(0)->dtype != TENON_DTYPE_FLOAT) return Refusal{TENON_REJECT_DTYPE, "only float32"};
  return std::nullopt;
}

Kernels& provider();

tenon_status* infer_affine(tenon_provider*, const tenon_infer_args* args) {
  return guarded(provider().host_api(), provider().host(), [&] {
    const Span<tenon_infer_input> in(args->inputs);
    args->output(args->sink, 0, in[0].dtype, in[0].rank, in[0].dims);
  });
}

// The least and the greatest element of each row of a matrix.
tenon_status* infer_min_max(tenon_provider*, const tenon_infer_args* args) {
  return guarded(provider().host_api(), provider().host(), [&] {
    const Span<tenon_infer_input> in(args->inputs);
    if (in[0].rank >= 0 && in[0].rank != 2) raise(TENON_INVALID_ARGUMENT, "MinMax takes a matrix, found rank " + std::to_string(in[0].rank));
    const std::int64_t rows = in[0].rank == 2 ? in[0].dims[0] : -1;
    for (std::uint32_t i = 0; i < 2; ++i) args->output(args->sink, i, in[0].dtype, 1, &rows);
  });
}

Kernels& provider() {
  static Kernels* made = [] {
    Kernel affine{"test.acme", "Affine", float_input,
                  [](const Node& n) -> std::shared_ptr<const void> {
                    return std::make_shared<const Affine>(Affine{n.number("scale", 1), n.number("offset", 0)});
                  },
                  [](const Call& c) {
                    const auto& p = *static_cast<const Affine*>(c.prepared);
                    for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = p.scale * c.inputs[0].as<float>()[i] + p.offset;
                  }};
    Kernel min_max{"test.acme", "MinMax", float_input, nullptr, [](const Call& c) {
                     const std::int64_t rows = c.inputs[0].dims[0], columns = c.inputs[0].dims[1];
                     if (columns == 0) raise(TENON_INVALID_ARGUMENT, "MinMax: a row has no elements");
                     for (std::int64_t r = 0; r < rows; ++r) {
                       const float* row = c.inputs[0].as<float>() + r * columns;
                       c.outputs[0].as<float>()[r] = *std::min_element(row, row + columns);
                       c.outputs[1].as<float>()[r] = *std::max_element(row, row + columns);
                     }
                   }};
    auto* k = new Kernels("custom", "1.0", {affine, min_max});
    k->api.get_extension = [](tenon_provider*, tenon_str name, std::uint32_t version) -> const void* {
      if (view(name) != "tenon.schema" || version != 1) return nullptr;
      static const float one = 1;
      static const tenon_attr attributes[] = {{sizeof(tenon_attr), 1, str("scale"), nullptr, 0}, {sizeof(tenon_attr), 1, str("offset"), &one, 1}};
      static const tenon_op_schema schemas[] = {
          {sizeof(tenon_op_schema), 1, str("test.acme"), str("Affine"), 1, 1, 1, 1, {attributes, 2, sizeof(tenon_attr), 0}, infer_affine},
          {sizeof(tenon_op_schema), 1, str("test.acme"), str("MinMax"), 1, 1, 2, 2, {}, infer_min_max}};
      static const tenon_schema_extension extension{sizeof extension, 0, {schemas, 2, sizeof(tenon_op_schema), 0}};
      return &extension;
    };
    return k;
  }();
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) { return provider().describe(args); }
