// Reports of the C API as JSON: models, placements, providers.
#include <nlohmann/json.hpp>

#include "core/provider/registry.h"
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

const char* reason_name(std::int32_t reason) {
  switch (reason) {
    case TENON_REJECT_OP: return "op";
    case TENON_REJECT_OPSET: return "opset";
    case TENON_REJECT_DTYPE: return "dtype";
    case TENON_REJECT_RANK: return "rank";
    case TENON_REJECT_DYNAMIC: return "dynamic";
    case TENON_REJECT_ATTRIBUTE: return "attribute";
    case TENON_REJECT_NEEDS_CONSTANT: return "needs_constant";
    case TENON_REJECT_TOO_SMALL: return "too_small";
    case TENON_REJECT_MEMORY: return "memory";
    case TENON_REJECT_CONFIG: return "config";
    case TENON_REJECT_NOT_ANSWERED: return "not_answered";
    default: return "other";
  }
}

const char* device_kind_name(std::int32_t kind) {
  switch (kind) {
    case TENON_DEVICE_CPU: return "cpu";
    case TENON_DEVICE_GPU: return "gpu";
    case TENON_DEVICE_NPU: return "npu";
    default: return "other";
  }
}

std::vector<std::string> paths_of(const tenon_configuration* configuration) {
  return configuration ? configuration->config.provider_paths : std::vector<std::string>();
}

}  // namespace

namespace tenon::sdk {

std::string model_json(const ModelInfo& m) {
  Json opsets = Json::object(), metadata = Json::object();
  for (const auto& [domain, version] : m.opsets) opsets[domain] = version;
  for (const auto& [key, value] : m.metadata) metadata[key] = value;
  return text({{"path", m.path}, {"producer_name", m.producer_name}, {"producer_version", m.producer_version}, {"domain", m.domain},
               {"description", m.description}, {"graph_name", m.graph_name}, {"graph_description", m.graph_description},
               {"ir_version", m.ir_version}, {"model_version", m.model_version}, {"opsets", opsets}, {"metadata", metadata},
               {"node_count", m.node_count}, {"weight_bytes", m.weight_bytes}});
}

std::string placement_json(const PlacementReport& report) {
  Json nodes = Json::array(), parts = Json::array(), copies = Json::array();
  for (const PlacedNode& n : report.nodes) {
    Json refusals = Json::array();
    for (const Refusal& r : n.refusals) refusals.push_back({{"provider", r.provider}, {"reason", reason_name(r.reason)}, {"text", r.text}});
    nodes.push_back({{"name", n.name}, {"op_type", n.op_type}, {"domain", n.domain}, {"graph", n.graph}, {"provider", n.provider},
                     {"device", n.device}, {"part", n.part}, {"cost_ns", n.cost_ns}, {"why", n.why}, {"refusals", std::move(refusals)}});
  }
  for (const PlacedPart& p : report.parts)
    parts.push_back({{"provider", p.provider}, {"device", p.device}, {"node_count", p.node_count}, {"cost_ns", p.cost_ns}});
  for (const PlacedCopy& c : report.copies)
    copies.push_back({{"value", c.value}, {"from", c.from}, {"to", c.to}, {"bytes", c.bytes}, {"cost_ns", c.cost_ns}});
  return text({{"nodes", std::move(nodes)}, {"parts", std::move(parts)}, {"copies", std::move(copies)}, {"notes", report.notes},
               {"arena_bytes", report.arena_bytes}, {"weight_bytes", report.weight_bytes}});
}

}  // namespace tenon::sdk

tenon_status* tenon_provider_path_add(const char* path) {
  return guard([&]() -> Status {
    if (!path) return missing("path");
    Registry::instance().add_path(path);
    return {};
  });
}

tenon_status* tenon_provider_list(const tenon_configuration* configuration, char** out_text) {
  return guard([&]() -> Status {
    Json all = Json::array();
    for (const ProviderInfo& p : Registry::instance().list(paths_of(configuration)))
      all.push_back({{"id", p.id}, {"aliases", p.aliases}, {"version", p.version}, {"path", p.path}, {"where", p.where},
                     {"state", p.state}, {"reason", p.reason}, {"devices", p.devices}});
    return give_text(text(all), out_text);
  });
}

tenon_status* tenon_provider_devices(const char* name, const tenon_configuration* configuration, char** out_text) {
  return guard([&]() -> Status {
    if (!name) return missing("name");
    TENON_ASSIGN(const ProviderPtr provider, Registry::instance().open(name, "{}", paths_of(configuration)));
    Json devices = Json::array();
    for (const DeviceInfo& info : provider->devices())
      devices.push_back({{"uid", info.uid}, {"name", info.name}, {"kind", device_kind_name(info.kind)},
                         {"memory_bytes", info.domains.empty() ? 0 : info.domains[0].total_bytes}});
    const std::string& path = provider->manifest().library;
    return give_text(text({{"id", provider->id()}, {"version", provider->version()}, {"path", path}, {"devices", devices}}), out_text);
  });
}
