// Reports of the C API: models, placements, costs, providers.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/provider/registry.h"
#include "core/report/machine.h"
#include "core/report/placement.h"
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

const char* device_kind_name(std::int32_t kind) {
  switch (kind) {
    case TENON_DEVICE_CPU: return "cpu";
    case TENON_DEVICE_GPU: return "gpu";
    case TENON_DEVICE_NPU: return "npu";
    default: return "other";
  }
}

// configuration: may be null.
Result<std::vector<std::string>> paths_of(const tenon_configuration* configuration) {
  if (!configuration) return std::vector<std::string>();
  if (!live(configuration)) return none_such("configuration");
  return configuration->config.provider_paths;
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
    TENON_ASSIGN(const std::vector<std::string> paths, paths_of(configuration));
    Json all = Json::array();
    for (const ProviderInfo& p : Registry::instance().list(paths))
      all.push_back({{"id", p.id}, {"aliases", p.aliases}, {"version", p.version}, {"path", p.path}, {"where", p.where},
                     {"state", p.state}, {"reason", p.reason}, {"devices", p.devices}});
    return give_text(text(all), out_text);
  });
}

tenon_status* tenon_provider_quarantine(const char* name, const char* what, const tenon_configuration* configuration) {
  return guard([&]() -> Status {
    if (!name) return missing("name");
    if (!what) return missing("what");
    TENON_ASSIGN(const std::vector<std::string> paths, paths_of(configuration));
    return Registry::instance().quarantine(name, what, paths);
  });
}

tenon_status* tenon_provider_forget_quarantine(const char* name, const tenon_configuration* configuration) {
  return guard([&]() -> Status {
    if (!name) return missing("name");
    TENON_ASSIGN(const std::vector<std::string> paths, paths_of(configuration));
    return Registry::instance().forget_quarantine(name, paths);
  });
}

tenon_status* tenon_provider_devices(const char* name, const tenon_configuration* configuration, char** out_text) {
  return guard([&]() -> Status {
    if (!name) return missing("name");
    TENON_ASSIGN(const std::vector<std::string> paths, paths_of(configuration));
    TENON_ASSIGN(const ProviderPtr provider, Registry::instance().open(name, "{}", paths));
    Json devices = Json::array();
    for (const DeviceInfo& info : provider->devices())
      devices.push_back({{"uid", info.uid}, {"name", info.name}, {"kind", device_kind_name(info.kind)},
                         {"memory_bytes", info.domains.empty() ? 0 : info.domains[0].total_bytes}});
    const std::string& path = provider->manifest().library;
    return give_text(text({{"id", provider->id()}, {"version", provider->version()}, {"path", path}, {"devices", devices}}), out_text);
  });
}

tenon_status* tenon_session_placement_text(const tenon_session* session, char** out_text) { return tenon_session_explain(session, "json", out_text); }

tenon_status* tenon_session_explain(const tenon_session* session, const char* format, char** out_text) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    const std::string_view name = format ? format : "text";
    const PlacementReport& report = session->session->placement();
    const ModelInfo& model = session->session->model();
    if (name == "text") return give_text(placement_text(model, report), out_text);
    if (name == "json") return give_text(placement_json(model, report), out_text);
    if (name == "html") return give_text(placement_html(model, report), out_text);
    return invalid("format \"{}\": \"text\", \"json\" or \"html\" is expected", name);
  });
}

size_t tenon_session_node_count(const tenon_session* session) {
  size_t count = 0;
  // A failure is told by tenon_session_node, which has a status for it.
  tenon_status_release(guard([&]() -> Status {
    if (live(session)) count = session->session->placement().nodes.size();
    return {};
  }));
  return count;
}
tenon_status* tenon_session_node(const tenon_session* session, size_t index, tenon_placed_node* out_node) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    if (!out_node) return missing("out_node");
    const std::uint32_t size = out_node->struct_size;
    if (size < 2 * sizeof(std::uint32_t)) return invalid("out_node->struct_size is {}: set it to sizeof the struct", size);
    const std::vector<PlacedNode>& nodes = session->session->placement().nodes;
    if (index >= nodes.size()) return error(TENON_OUT_OF_RANGE, "node {} of {}", index, nodes.size());
    const PlacedNode& n = nodes[index];
    const tenon_placed_node full{size, n.part, n.name.c_str(), n.op.c_str(), n.graph.c_str(), n.provider.c_str(), n.device.c_str(), n.why.c_str(), n.cost_ns, n.measured, 0};
    std::memcpy(out_node, &full, std::min<std::size_t>(size, sizeof full));
    return {};
  });
}

tenon_status* tenon_session_cost_if(const tenon_session* session, size_t node, size_t device, double* out_ns) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    if (!out_ns) return missing("out_ns");
    TENON_SET(*out_ns, session->session->cost_if(node, static_cast<std::uint32_t>(std::min<size_t>(device, 0xffffffffu))));
    return {};
  });
}

tenon_status* tenon_session_learn(const tenon_session* session, const tenon_profile* profile, int32_t keep, char** out_text) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    if (!live(profile)) return none_such("profile");
    std::vector<LearnedLine> lines;
    {
      std::lock_guard lock(profile->mutex);
      TENON_TRY(session->session->learn(profile->profile, keep != 0, lines));
    }
    Json all = Json::array();
    for (const LearnedLine& line : lines)
      all.push_back({{"provider", line.provider}, {"device", line.device}, {"operators", line.operators}, {"ns", line.ns}, {"samples", line.samples}});
    return out_text ? give_text(text(all), out_text) : Status();
  });
}

tenon_status* tenon_session_forget_costs(const tenon_session* session, uint64_t* out_count) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    TENON_ASSIGN(const std::uint64_t count, session->session->forget_costs());
    if (out_count) *out_count = count;
    return {};
  });
}

tenon_status* tenon_machine_text(char** out_text) {
  return guard([&] { return give_text(machine_json(), out_text); });
}
