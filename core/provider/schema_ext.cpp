#include "core/provider/schema_ext.h"

#include <algorithm>

#include "core/provider/graph_view.h"
#include "core/provider/host.h"

// Receives what a custom operator's infer says of its outputs.
struct tenon_infer_sink {
  std::vector<tenon::Type>* outputs = nullptr;
  std::string fault;
};

namespace tenon {
namespace {

void take_output(tenon_infer_sink* sink, std::uint32_t index, std::int32_t dtype, std::int32_t rank, const std::int64_t* dims) {
  if (!sink) return;
  if (index >= sink->outputs->size()) return;  // an output that nobody reads
  if (rank > 64 || (rank > 0 && !dims)) {
    sink->fault = fmt::format("output {} has rank {}", index, rank);
    return;
  }
  Type& out = (*sink->outputs)[index];
  out = Type{};
  out.dtype = dtype;
  if (rank < 0) return;
  out.dims.emplace();
  for (std::int32_t d = 0; d < rank; ++d) out.dims->push_back({dims[d] < 0 ? -1 : dims[d], 0});
}

Status infer(const ProviderPtr& provider, const tenon_op_schema& schema, const Node& node, std::span<const Type> inputs, std::vector<Type>& outputs) {
  const auto view = GraphView::build_node(node);
  std::vector<Dims> dims(inputs.size());
  std::vector<tenon_infer_input> in(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in[i] = {sizeof(tenon_infer_input), inputs[i].dtype, -1, 0, nullptr, nullptr};
    if (!inputs[i].dims) continue;
    for (const Dim& d : *inputs[i].dims) dims[i].push_back(d.value);
    in[i].rank = static_cast<std::int32_t>(dims[i].size());
    in[i].dims = dims[i].data();
  }
  tenon_infer_sink sink{&outputs, {}};
  const tenon_infer_args args{sizeof(args), 0, view->node(), {in.data(), in.size(), sizeof(tenon_infer_input), 0}, &sink, take_output};
  TENON_TRY(take_status(schema.infer(provider->handle(), &args)));
  if (!sink.fault.empty()) return error(TENON_ABI_MISMATCH, "provider {}: {}", provider->id(), sink.fault);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].dtype == TENON_DTYPE_UNDEFINED) return error(TENON_ABI_MISMATCH, "provider {}: infer says nothing of output {}", provider->id(), i);
  return {};
}

// The attribute values that a schema may give as defaults: numbers, strings and lists of them.
Result<AttributeValue> default_value(const tenon_attr& a) {
  switch (a.type) {
    case 1: return AttributeValue(*static_cast<const float*>(a.data));
    case 2: return AttributeValue(*static_cast<const std::int64_t*>(a.data));
    case 3: return AttributeValue(std::string(view(*static_cast<const tenon_str*>(a.data))));
    case 6: return AttributeValue(std::vector<float>(static_cast<const float*>(a.data), static_cast<const float*>(a.data) + a.count));
    case 7: return AttributeValue(std::vector<std::int64_t>(static_cast<const std::int64_t*>(a.data), static_cast<const std::int64_t*>(a.data) + a.count));
    case 8: {
      std::vector<std::string> out;
      for (std::uint64_t i = 0; i < a.count; ++i) out.emplace_back(view(static_cast<const tenon_str*>(a.data)[i]));
      return AttributeValue(std::move(out));
    }
    default: return invalid("attribute \"{}\": a default of type {} is not possible", view(a.name), a.type);
  }
}

bool same_signature(const CustomOp& a, const CustomOp& b) {
  const auto names = [](const CustomOp& op) {
    std::vector<std::string> out = op.required;
    for (const Attribute& d : op.defaults) out.push_back(d.name);
    std::sort(out.begin(), out.end());
    return out;
  };
  return a.min_inputs == b.min_inputs && a.max_inputs == b.max_inputs && a.min_outputs == b.min_outputs && a.max_outputs == b.max_outputs &&
         names(a) == names(b);
}

}  // namespace

Status read_schemas(const ProviderPtr& provider, CustomOps& ops) {
  const auto* raw = static_cast<const tenon_schema_extension*>(provider->extension("tenon.schema", 1));
  if (!raw) return {};
  const auto extension = full_copy(*raw);
  for (const tenon_op_schema& schema : full_copies<tenon_op_schema>(extension.schemas)) {
    CustomOp op;
    op.provider = provider->id();
    op.domain = view(schema.domain);
    op.op_type = view(schema.op_type);
    op.since_version = schema.since_version;
    const std::string where = fmt::format("provider {}: schema of {}.{}", provider->id(), op.domain, op.op_type);
    if (op.op_type.empty() || !schema.infer) return invalid("{}: a name and infer are needed", where);
    if (op.domain.empty() || op.domain.starts_with("ai.onnx")) return invalid("{}: the domain belongs to ONNX; use one of your own", where);
    op.min_inputs = schema.min_inputs, op.max_inputs = schema.max_inputs;
    op.min_outputs = schema.min_outputs, op.max_outputs = schema.max_outputs;
    if (op.min_inputs > op.max_inputs || op.min_outputs > op.max_outputs) return invalid("{}: minima are above maxima", where);
    for (const tenon_attr& a : full_copies<tenon_attr>(schema.attributes)) {
      if (a.count == 0) {
        op.required.emplace_back(view(a.name));
        continue;
      }
      if (!a.data) return invalid("{}: attribute \"{}\" has a count and no data", where, view(a.name));
      Result<AttributeValue> value = default_value(a);
      if (!value.ok()) return std::move(value.status()).at(where);
      op.defaults.push_back({std::string(view(a.name)), *std::move(value)});
    }
    op.infer = [provider, schema](const Graph&, const Node& node, std::span<const Type> in, std::vector<Type>& out) {
      return infer(provider, schema, node, in, out);
    };
    bool known = false;
    for (const CustomOp& other : ops.ops) {
      if (other.domain != op.domain || other.op_type != op.op_type || other.since_version != op.since_version) continue;
      if (!same_signature(other, op))
        return error(TENON_ALREADY_EXISTS, "operator {}.{} version {} is declared differently by providers {} and {}; leave one of them out",
                     op.domain, op.op_type, op.since_version, other.provider, op.provider);
      known = true;
    }
    if (!known) ops.ops.push_back(std::move(op));
  }
  return {};
}

}  // namespace tenon
