// A provider that stopped at opset 11 of ONNX: its kernels know attributes where newer operators have inputs, and refuse
// whatever does not look like that. It also claims the nodes that were hidden from it, which must not help.
#include <algorithm>
#include <cmath>

#include <tenon/provider.hpp>

namespace {

using namespace tenon::plugin;

constexpr std::int32_t newest = 11;

// Yes to a node of one input, of the version and form that opset 11 has.
std::optional<Refusal> as_it_was(const Node& node, std::int32_t form) {
  if (node.raw().form != form || node.raw().since_version > newest)
    return Refusal{TENON_REJECT_OTHER, "shown in form " + std::to_string(node.raw().form) + " of opset " + std::to_string(node.raw().since_version)};
  if (node.input_count() != 1) return Refusal{TENON_REJECT_OTHER, "shown with " + std::to_string(node.input_count()) + " inputs"};
  if (node.input(0)->dtype != TENON_DTYPE_FLOAT) return Refusal{TENON_REJECT_DTYPE, "only float32"};
  return std::nullopt;
}

void copy(const Call& c) { std::copy_n(c.inputs[0].as<float>(), c.inputs[0].count(), c.outputs[0].as<float>()); }

// Sums over the axes of the attribute; here only the last of two.
Kernel reduce_sum() {
  return {"", "ReduceSum", [](const Node& n) -> std::optional<Refusal> {
            if (auto no = as_it_was(n, 1)) return no;
            if (n.integers("axes") != std::vector<std::int64_t>{1} || n.attribute("noop_with_empty_axes") || n.input(0)->rank != 2)
              return Refusal{TENON_REJECT_ATTRIBUTE, "only rows of a matrix"};
            return std::nullopt;
          },
          nullptr, [](const Call& c) {
            const std::int64_t rows = c.inputs[0].dims[0], columns = c.inputs[0].dims[1];
            for (std::int64_t r = 0; r < rows; ++r) {
              const float* row = c.inputs[0].as<float>() + r * columns;
              c.outputs[0].as<float>()[r] = 0;
              for (std::int64_t i = 0; i < columns; ++i) c.outputs[0].as<float>()[r] += row[i];
            }
          }};
}

Kernels& provider() {
  static auto* made = new Kernels("older", "1.0", {
    reduce_sum(),
    {"", "Unsqueeze", [](const Node& n) { return n.attribute("axes") ? as_it_was(n, 1) : Refusal{TENON_REJECT_OTHER, "shown without axes"}; }, nullptr, copy},
    {"", "Relu", [](const Node& n) { return as_it_was(n, 2); }, nullptr, [](const Call& c) {
       for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = std::max(0.0f, c.inputs[0].as<float>()[i]);
     }},
    {"", "", nullptr, nullptr, [](const Call&) { raise(TENON_INTERNAL, "a hidden node was run"); }},
  });
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  const tenon_provider_desc* good = provider().describe(args);
  if (!good) return nullptr;
  static tenon_provider_desc desc;
  static const tenon_opset opset{sizeof(tenon_opset), newest, {"", 0}};
  desc = *good;
  desc.opsets = {&opset, 1, sizeof opset, 0};
  return &desc;
}
