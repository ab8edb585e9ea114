// Bytes or a file to a Model.
#include <filesystem>

#include "core/onnx/importer.h"
#include "core/onnx/slim.h"

namespace tenon {

Status Importer::run(const onnx::ModelProto& proto) {
  for (const auto& import : proto.opset_import()) {
    const std::string domain = import.domain() == "ai.onnx" ? "" : import.domain();
    auto [known, fresh] = versions.emplace(domain, import.version());
    if (!fresh && known->second != import.version())  // exporters do write the same import twice
      return invalid("opset_import gives the domain \"{}\" two versions, {} and {}", import.domain(), known->second, import.version());
    if (!fresh) continue;
    model_.opsets.push_back({domain, import.version()});
  }
  if (!proto.has_graph()) return error(TENON_DATA_LOSS, "the file holds no graph: it is not an ONNX model, or it is empty");
  if (versions.empty() && proto.functions().empty()) {
    if (proto.ir_version() >= 3) return invalid("the model has no opset_import; it must name at least the version of ai.onnx");
    versions[""] = 1;
  }
  const auto& known = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  for (auto& [domain, version] : versions)
    if (auto it = known.find(domain); it != known.end() && (version < 1 || version > it->second.second))
      return error(TENON_UNIMPLEMENTED, "the model uses opset {} of \"{}\"; this build knows 1 to {}", version,
                   domain.empty() ? "ai.onnx" : domain, it->second.second);
  for (const auto& f : proto.functions()) functions_[f.domain() + "\n" + f.name()] = &f;
  model_.ir_version = proto.ir_version();
  model_.producer_name = proto.producer_name();
  model_.producer_version = proto.producer_version();
  model_.domain = proto.domain();
  model_.description = proto.doc_string();
  model_.graph_description = proto.graph().doc_string();
  model_.model_version = proto.model_version();
  for (const auto& p : proto.metadata_props()) model_.metadata.emplace_back(p.key(), p.value());
  Scope scope{model_.graph, nullptr, {}};
  Status s = graph(proto.graph(), scope, 0);
  return unknown_.empty() ? std::move(s) : unknown_operators();
}

namespace {

// The message of `payloads.bytes`, its large payloads lifted out.
Status parse_payload(Payloads& payloads, const ImportOptions& options, const std::function<Status(onnx::ModelProto&)>& use) try {
  TENON_ASSIGN(SlimModel slim, SlimModel::make(payloads.bytes, options.limits.nesting * 4));
  payloads.slim = &slim;
  payloads.max_bytes = options.limits.memory;
  payloads.max_rank = options.limits.rank;
  onnx::ModelProto proto;
  if (!proto.ParseFromArray(slim.message().data(), static_cast<int>(slim.message().size())))
    return error(TENON_DATA_LOSS, "not an ONNX model: the protobuf message does not parse; the file is truncated or of another format");
  return use(proto);
} catch (const std::exception& e) {
  return error(TENON_INVALID_ARGUMENT, "the model was refused by the onnx library: {}", e.what());
}

Result<std::unique_ptr<Model>> import_payload(Payloads& payloads, const ImportOptions& options) {
  auto model = std::make_unique<Model>();
  TENON_TRY(parse_payload(payloads, options, [&](const onnx::ModelProto& proto) { return Importer(*model, options, payloads).run(proto); }));
  model->path = payloads.path;
  return model;
}

Result<Payloads> payloads_of_file(const std::string& path, const ImportOptions& options) {
  std::error_code code;
  const std::filesystem::path canonical = std::filesystem::canonical(path, code);
  if (code) return error(TENON_NOT_FOUND, "model \"{}\": {}", path, code.message());
  TENON_ASSIGN(auto map, FileMap::open(canonical.string()));
  if (map->bytes().size() > options.limits.model_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "model \"{}\": {} bytes are over limits.model = {}", path, map->bytes().size(), options.limits.model_bytes);
  Payloads payloads;
  payloads.bytes = map->bytes();
  payloads.keep = map;
  payloads.source = map.get();
  payloads.path = canonical.string();
  payloads.file = map->identity();
  payloads.folder = canonical.parent_path().string();
  return payloads;
}

}  // namespace

Result<std::unique_ptr<Model>> import_file(const std::string& path, const ImportOptions& options) {
  TENON_ASSIGN(Payloads payloads, payloads_of_file(path, options));
  auto model = import_payload(payloads, options);
  if (!model.ok()) return std::move(model.status()).at("model \"" + path + "\"");
  return model;
}

Status read_model(const std::string& path, const ImportOptions& options, const std::function<Status(onnx::ModelProto&, Payloads&)>& use) {
  TENON_ASSIGN(Payloads payloads, payloads_of_file(path, options));
  return parse_payload(payloads, options, [&](onnx::ModelProto& proto) { return use(proto, payloads); }).at("model \"" + path + "\"");
}

Result<std::unique_ptr<Model>> import_bundle(const Bundle& bundle, const ImportOptions& options) {
  const std::string where = bundle.file() ? "model \"" + bundle.file()->path() + "\"" : "model";
  const std::uint64_t bytes = bundle.index().model.bytes + bundle.index().weights.bytes;
  if (bytes > options.limits.model_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "{}: model and weights have {} bytes, over limits.model = {}", where, bytes, options.limits.model_bytes);
  Payloads payloads;
  payloads.bytes = bundle.at(bundle.index().model);
  payloads.keep = bundle.keep();
  payloads.bundle = &bundle;
  payloads.source = bundle.file();
  if (bundle.file()) payloads.path = bundle.file()->path(), payloads.file = bundle.file()->identity();
  auto model = import_payload(payloads, options);
  if (!model.ok()) return std::move(model.status()).at(where);
  return model;
}

Result<std::unique_ptr<Model>> import_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> keep,
                                            const ImportOptions& options) {
  if (bytes.empty()) return error(TENON_DATA_LOSS, "model: 0 bytes are not an ONNX model");
  if (bytes.size() > options.limits.model_bytes)
    return error(TENON_RESOURCE_EXHAUSTED, "model: {} bytes are over limits.model = {}", bytes.size(), options.limits.model_bytes);
  Payloads payloads;
  payloads.bytes = bytes;
  payloads.keep = std::move(keep);
  auto model = import_payload(payloads, options);
  if (!model.ok()) return std::move(model.status()).at("model");
  return model;
}

}  // namespace tenon
