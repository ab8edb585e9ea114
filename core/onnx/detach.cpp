#include "core/onnx/detach.h"

#include <map>

#include "core/base/bundle.h"
#include "core/onnx/proto.h"

namespace tenon {
namespace {

class Detacher {
 public:
  Detacher(Payloads& payloads, const StoreWeights& store) : payloads_(payloads), store_(store) {}

  Status model(onnx::ModelProto& proto) {
    TENON_TRY(graph(*proto.mutable_graph()));
    for (auto& function : *proto.mutable_functions()) {
      for (auto& n : *function.mutable_node()) TENON_TRY(node(n));
      for (auto& a : *function.mutable_attribute_proto()) TENON_TRY(attribute(a));
    }
    return {};
  }

 private:
  Status graph(onnx::GraphProto& proto) {
    for (auto& t : *proto.mutable_initializer()) TENON_TRY(tensor(t));
    for (auto& s : *proto.mutable_sparse_initializer()) TENON_TRY(sparse(s));
    for (auto& n : *proto.mutable_node()) TENON_TRY(node(n));
    return {};
  }
  Status node(onnx::NodeProto& proto) {
    for (auto& a : *proto.mutable_attribute()) TENON_TRY(attribute(a));
    return {};
  }
  Status attribute(onnx::AttributeProto& proto) {
    if (proto.has_t()) TENON_TRY(tensor(*proto.mutable_t()));
    if (proto.has_g()) TENON_TRY(graph(*proto.mutable_g()));
    if (proto.has_sparse_tensor()) TENON_TRY(sparse(*proto.mutable_sparse_tensor()));
    for (auto& t : *proto.mutable_tensors()) TENON_TRY(tensor(t));
    for (auto& g : *proto.mutable_graphs()) TENON_TRY(graph(g));
    for (auto& s : *proto.mutable_sparse_tensors()) TENON_TRY(sparse(s));
    return {};
  }
  Status sparse(onnx::SparseTensorProto& proto) {
    TENON_TRY(tensor(*proto.mutable_values()));
    return tensor(*proto.mutable_indices());
  }
  Status tensor(onnx::TensorProto& proto) {
    TENON_ASSIGN(const std::optional<std::span<const std::byte>> outside, outside_bytes(proto, payloads_));
    if (!outside) return {};
    const auto [at, fresh] = stored_.emplace(std::pair(outside->data(), outside->size()), 0);
    if (fresh) TENON_SET(at->second, store_(*outside));
    proto.clear_raw_data();
    proto.set_data_location(onnx::TensorProto::EXTERNAL);
    proto.clear_external_data();
    const auto entry = [&](const char* key, std::string value) {
      auto* e = proto.add_external_data();
      e->set_key(key);
      e->set_value(std::move(value));
    };
    entry("location", std::string(bundle_weights));
    entry("offset", std::to_string(at->second));
    entry("length", std::to_string(outside->size()));
    return {};
  }

  Payloads& payloads_;
  const StoreWeights& store_;
  std::map<std::pair<const std::byte*, std::size_t>, std::uint64_t> stored_;
};

}  // namespace

Result<std::string> detach_weights(const std::string& path, const ImportOptions& options, const StoreWeights& store) {
  std::string message;
  TENON_TRY(read_model(path, options, [&](onnx::ModelProto& proto, Payloads& payloads) -> Status {
    TENON_TRY(Detacher(payloads, store).model(proto));
    if (!proto.SerializeToString(&message)) return error(TENON_RESOURCE_EXHAUSTED, "model \"{}\": without its large tensors it is still over 2 GiB", path);
    return {};
  }));
  return message;
}

}  // namespace tenon
