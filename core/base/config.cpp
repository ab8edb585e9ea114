#include "core/base/config.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/config_check.h"
#include "core/base/dynlib.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace tenon {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

// The value at pointer, else the table's default, else null.
Json value_or_default(const Json& root, const std::string& pointer, const Option* option = nullptr) {
  const Json::json_pointer p(pointer);
  if (root.contains(p)) return root.at(p);
  if (!option)
    for (const Option& o : option_table())
      if (o.pointer == pointer) option = &o;
  return option && !option->fallback.empty() ? Json::parse(option->fallback) : Json();
}

std::uint64_t size_of(const Json& v) {
  return v.is_string() ? parse_size(v.get<std::string>()).value_or(0) : v.get<std::uint64_t>();
}

std::string text_or(const Json& v, const char* key) { return v.contains(key) ? v[key].get<std::string>() : ""; }

std::string absolute(const std::string& path, const std::string& folder) {
  const fs::path p(expand_variables(path));
  std::error_code code;
  const fs::path joined = p.is_absolute() || folder.empty() ? p : fs::path(folder) / p;
  const fs::path full = fs::absolute(joined, code);
  return (code ? joined : full).lexically_normal().string();
}

std::string read_file(const std::string& path, Status& status) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) {
    status = error(TENON_NOT_FOUND, "configuration file \"{}\" does not exist or is not a file", path);
    return "";
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) status = error(TENON_PERMISSION_DENIED, "configuration file \"{}\" cannot be read", path);
  return text.str();
}

}  // namespace

struct Config::Document {
  Json root = Json::object();
  std::map<std::string, std::string> origin;  // pointer: who set it
  std::string source, folder;
};

Config::Config() {
  auto document = std::make_shared<Document>();
  Status s = read(*document);
  (void)s;
  document_ = std::move(document);
}

Status Config::read(const Document& document) {
  const Json& root = document.root;
  const auto get = [&](const char* pointer) { return value_or_default(root, pointer); };
  providers.clear();
  for (const Json& entry : get("/providers")) {
    ProviderEntry e;
    e.use = text_or(entry, "use");
    if (e.use.find('/') != std::string::npos) e.use = absolute(e.use, document.folder);
    if (entry.contains("device"))
      e.device = entry["device"].is_string() ? entry["device"].get<std::string>() : std::to_string(entry["device"].get<long long>());
    if (entry.contains("options")) e.options = entry["options"].dump();
    e.required = entry.value("required", true);
    e.sha256 = text_or(entry, "sha256");
    e.isolate = text_or(entry, "isolate") == "process";
    if (const std::string limit = text_or(entry, "isolate_limit"); !limit.empty())
      e.isolate_limit = std::chrono::duration_cast<std::chrono::milliseconds>(parse_time(limit).value_or(std::chrono::seconds(60)));
    providers.push_back(std::move(e));
  }
  provider_paths.clear();
  for (const Json& path : get("/provider_paths")) provider_paths.push_back(absolute(path.get<std::string>(), document.folder));

  placement.policy = get("/placement/policy").get<std::string>();
  placement.error_on_unsupported = get("/placement/on_unsupported") == "error";
  placement.report_unsupported = get("/placement/on_unsupported") == "report";
  const std::string costs = get("/placement/costs").get<std::string>();
  const bool nowhere = costs.starts_with("${") && expand_variables(costs.substr(0, costs.find('}') + 1)).empty();  // no home, or a privileged process
  placement.costs = costs.empty() || nowhere ? "" : absolute(costs, document.folder);
  placement.replace_lost = get("/placement/on_device_lost") == "replace";
  trust.require_pinned = get("/trust/require_pinned").get<bool>();
  trust.probe_limit = std::chrono::duration_cast<std::chrono::milliseconds>(
      parse_time(get("/trust/probe_limit").get<std::string>()).value_or(std::chrono::seconds(20)));
  trust.probe = get("/trust/probe") == "first_load";
  placement.rules.clear();
  for (const Json& rule : get("/placement/rules")) {
    PlacementRule r;
    const Json match = rule.value("match", Json::object());
    r.op = text_or(match, "op");
    r.name = text_or(match, "name");
    r.domain = text_or(match, "domain");
    r.use = text_or(rule, "use");
    if (rule.contains("deny")) r.deny = rule["deny"].get<std::vector<std::string>>();
    placement.rules.push_back(std::move(r));
  }

  const std::string level = get("/session/optimize").get<std::string>();
  optimize = level == "none" ? Optimize::none : level == "basic" ? Optimize::basic : level == "extended" ? Optimize::extended : Optimize::all;
  const Json t = get("/session/threads");
  threads = t.is_string() ? 0 : t.get<int>();
  deterministic = get("/session/deterministic").get<bool>();
  const std::string folder = get("/session/cache").get<std::string>();
  cache.folder = folder.empty() ? "" : absolute(folder, document.folder);
  cache.limit = size_of(get("/session/cache_size"));
  cache.check_content = get("/session/cache_check") == "content";
  const std::string stored = get("/session/bundle").get<std::string>();
  bundle = stored == "none" ? BundleUse::none : stored == "any" ? BundleUse::any : BundleUse::allowed;
  const Json p = get("/session/precision");
  precision = p.is_string() ? p.get<std::string>() : "";

  state.clear();
  const Json kept = get("/session/state");
  for (const auto& [input, output] : kept.items())
    if (!input.starts_with("x-")) state.emplace_back(input, output.get<std::string>());
  state_capacity = get("/session/state_capacity").get<std::int64_t>();

  shapes.clear();
  const Json sizes = get("/shapes");
  for (const auto& [name, value] : sizes.items()) {
    if (name.starts_with("x-")) continue;
    ShapeEntry s;
    s.name = name;
    if (value.is_number()) {
      s.min = s.opt = s.max = value.get<std::int64_t>();
    } else {
      if (value.contains("min")) s.min = value["min"].get<std::int64_t>();
      if (value.contains("opt")) s.opt = value["opt"].get<std::int64_t>();
      if (value.contains("max")) s.max = value["max"].get<std::int64_t>();
      if (value.contains("grow")) s.grow = value["grow"].get<bool>();
    }
    shapes.push_back(std::move(s));
  }

  limits.memory = size_of(get("/limits/memory"));
  limits.model_bytes = size_of(get("/limits/model"));
  limits.load = parse_time(get("/limits/load").get<std::string>()).value_or(std::chrono::nanoseconds(0));
  limits.run = parse_time(get("/limits/run").get<std::string>()).value_or(std::chrono::nanoseconds(0));
  limits.call = parse_time(get("/limits/call").get<std::string>()).value_or(std::chrono::nanoseconds(0));
  limits.late = parse_time(get("/limits/late").get<std::string>()).value_or(std::chrono::nanoseconds(0));
  limits.nesting = get("/limits/nesting").get<int>();
  limits.rank = get("/limits/rank").get<int>();
  limits.nodes = get("/limits/nodes").get<std::uint64_t>();

  log.clear();
  const Json levels = get("/log");
  for (const auto& [topic, value] : levels.items())
    if (!topic.starts_with("x-")) log.emplace_back(topic, log_level_from_name(value.get<std::string>()));
  return {};
}

Result<Config> Config::parse(std::string_view text, const std::string& source, const std::string& folder) {
  JsonText parsed = read_json(text, source);
  if (parsed.faults.empty() || parsed.root.is_object()) check_config(parsed);
  TENON_TRY(parsed.status());
  auto document = std::make_shared<Document>();
  document->root = std::move(parsed.root);
  document->source = source;
  document->folder = folder;
  for (const auto& [pointer, place] : parsed.values)
    document->origin[pointer] = fmt::format("{}:{}", source, place.line);
  Config config;
  TENON_TRY(config.read(*document));
  config.document_ = std::move(document);
  return config;
}

Result<Config> Config::load(const std::string& path) {
  Status status;
  const std::string text = read_file(path, status);
  TENON_TRY(std::move(status));
  std::error_code code;
  const fs::path full = fs::absolute(path, code);
  return parse(text, path, full.parent_path().string());
}

Result<Config> Config::find(const std::string& path, const std::string& model_path) {
  if (!path.empty()) return load(path);
  if (const std::string env = trusted_env("TENON_CONFIG"); !env.empty()) return load(env);
  std::vector<std::string> candidates;
  if (!model_path.empty()) candidates.push_back(model_path + ".tenonrc.json");
  if (const std::string home = expand_variables("${XDG_CONFIG_HOME}"); !home.empty()) candidates.push_back(home + "/tenon/config.json");
  candidates.push_back("/etc/tenon/config.json");
  for (const std::string& candidate : candidates) {
    std::error_code code;
    if (fs::exists(candidate, code)) return load(candidate);
  }
  return Config();
}

Status Config::set(std::string_view pointer, std::string_view value, std::string_view origin) {
  std::string where(pointer);
  if (where.empty() || where[0] != '/') {
    for (char& c : where) c = c == '.' ? '/' : c;
    where.insert(0, "/");
  }
  auto document = std::make_shared<Document>(*document_);
  JsonText text;
  text.source = std::string(origin);

  // Walks down document and option tree together, making what is missing.
  Json* at = &document->root;
  const OptionNode* node = &option_tree();
  const Option* option = nullptr;
  std::string_view rest(where);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t slash = rest.find('/');
    std::string key(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
    for (std::size_t i; (i = key.find("~1")) != std::string::npos;) key.replace(i, 2, "/");
    for (std::size_t i; (i = key.find("~0")) != std::string::npos;) key.replace(i, 2, "~");
    const bool list = option && (option->kind == OptionKind::list || option->kind == OptionKind::texts);
    if (list) {
      if (at->is_null()) *at = Json::array();
      const bool number = !key.empty() && key.size() < 7 && key.find_first_not_of("0123456789") == std::string::npos;
      const std::size_t index = key == "-" ? at->size() : number ? std::stoul(key) : at->size() + 1;
      if (!at->is_array() || index > at->size())
        return invalid("{}: error at {}: \"{}\" is not an index from 0 to {}", origin, where, key, at->size());
      if (index == at->size()) at->push_back(Json());
      at = &(*at)[index];
    } else {
      if (at->is_null() || (option && option->kind == OptionKind::shape && !at->is_object())) *at = Json::object();
      if (!at->is_object()) return invalid("{}: error at {}: there is no key \"{}\"", origin, where, key);
      at = &(*at)[key];
    }
    if (node) {
      const auto found = node->children.find(key);
      const auto any = node->children.find("*");
      node = found != node->children.end() ? &found->second : any != node->children.end() ? &any->second : nullptr;
    }
    option = node ? node->option : nullptr;
  }
  const bool word = option && (option->kind == OptionKind::text || option->kind == OptionKind::choice || option->kind == OptionKind::time);
  JsonText parsed = read_json(value, std::string(origin));
  if (!parsed.faults.empty() || (word && !parsed.root.is_string())) *at = std::string(value);
  else *at = std::move(parsed.root);

  text.root = document->root;
  check_config(text);
  TENON_TRY(text.status());
  document->origin[where] = std::string(origin);
  TENON_TRY(read(*document));
  document_ = std::move(document);
  return {};
}

Status Config::add_provider(const ProviderEntry& entry, std::string_view origin) {
  JsonText options = read_json(entry.options.empty() ? "{}" : entry.options, std::string(origin));
  TENON_TRY(options.status());
  Json made = {{"use", entry.use}, {"options", options.root}, {"required", entry.required}};
  if (!entry.device.empty()) made["device"] = entry.device;
  if (entry.isolate) made["isolate"] = "process", made["isolate_limit"] = fmt::format("{}ms", entry.isolate_limit.count());
  return set(fmt::format("/providers/{}", providers.size()), made.dump(-1, ' ', false, Json::error_handler_t::replace), origin);
}

Status Config::clear_providers() { return set("/providers", "[]"); }

std::string Config::json() const {
  return document_->root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

const std::string& Config::source() const { return document_->source; }

std::string Config::show_origin() const {
  std::string out;
  const auto line = [&](const std::string& pointer, const Json& value, const std::string& origin) {
    out += fmt::format("{} = {}  ({})\n", pointer, value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), origin);
  };
  // The nearest enclosing pointer that somebody set.
  const auto origin_of = [&](std::string pointer) {
    for (;;) {
      if (const auto found = document_->origin.find(pointer); found != document_->origin.end()) return found->second;
      if (pointer.empty()) return document_->source.empty() ? std::string("api") : document_->source;
      pointer.resize(pointer.rfind('/'));
    }
  };
  const std::function<void(const Json&, const std::string&, const OptionNode*)> walk =
      [&](const Json& v, const std::string& pointer, const OptionNode* node) {
        const auto child = [&](const std::string& key) -> const OptionNode* {
          if (!node) return nullptr;
          if (const auto found = node->children.find(key); found != node->children.end()) return &found->second;
          const auto any = node->children.find("*");
          return any == node->children.end() ? nullptr : &any->second;
        };
        if (v.is_structured() && !v.empty() && (!node || node->has_children())) {
          for (const auto& [key, value] : v.items()) walk(value, pointer + "/" + pointer_part(key), child(key));
        } else if (!pointer.empty()) {
          line(pointer, v, origin_of(pointer));
        }
      };
  walk(document_->root, "", &option_tree());
  for (const Option& option : option_table()) {
    if (option.fallback.empty() || option.pointer.find('*') != std::string_view::npos) continue;
    if (!document_->root.contains(nlohmann::json::json_pointer(std::string(option.pointer))))
      line(std::string(option.pointer), nlohmann::json::parse(option.fallback), "default");
  }
  return out;
}

void Config::apply_log() const {
  for (const auto& [topic, level] : log) log_set_level(topic, level);
}

}  // namespace tenon
