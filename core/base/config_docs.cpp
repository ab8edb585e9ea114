// The JSON Schema and the key table, made from the option table.
#include "core/base/config.h"
#include "core/base/config_check.h"

namespace tenon {
namespace {

using json = nlohmann::ordered_json;

json schema_of(const OptionNode& node) {
  json s = json::object();
  const Option* o = node.option;
  const OptionKind kind = o ? o->kind : OptionKind::section;
  const auto section = [&] {
    json object = {{"type", "object"}};
    json properties = json::object();
    for (const auto& [name, child] : node.children) properties[name] = schema_of(child);
    object["properties"] = std::move(properties);
    object["patternProperties"] = {{"^x-", json::object()}};
    object["additionalProperties"] = false;
    return object;
  };
  const auto integer = [&] {
    json number = {{"type", "integer"}, {"minimum", o->min}};
    if (o->max != 0 && o->max < (1ll << 53)) number["maximum"] = o->max;
    return number;
  };
  switch (kind) {
    case OptionKind::section: s = section(); break;
    case OptionKind::shape: s["anyOf"] = json::array({{{"type", "integer"}, {"minimum", 0}}, section()}); break;
    case OptionKind::list: s = {{"type", "array"}, {"items", schema_of(node.children.at("*"))}}; break;
    case OptionKind::map: s = {{"type", "object"}, {"additionalProperties", schema_of(node.children.at("*"))}}; break;
    case OptionKind::boolean: s["type"] = "boolean"; break;
    case OptionKind::integer: s = integer(); break;
    case OptionKind::integer_or_auto: s["anyOf"] = json::array({{{"const", "auto"}}, integer()}); break;
    case OptionKind::integer_or_text: s["anyOf"] = json::array({{{"type", "string"}}, integer()}); break;
    case OptionKind::size:
      s["anyOf"] = json::array({{{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)? ?([KMGT]iB|[kKMGT]B|B)?$"}}, integer()});
      break;
    case OptionKind::time: s = {{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)? ?(ns|us|ms|s|min|h)$"}}; break;
    case OptionKind::text: s["type"] = "string"; break;
    case OptionKind::choice: {
      std::string_view rest = o->choices;
      json choices = json::array();
      while (!rest.empty()) {
        const std::size_t bar = rest.find('|');
        choices.push_back(std::string(rest.substr(0, bar)));
        rest = bar == std::string_view::npos ? std::string_view() : rest.substr(bar + 1);
      }
      s["enum"] = std::move(choices);
      break;
    }
    case OptionKind::texts: s = {{"type", "array"}, {"items", {{"type", "string"}}}}; break;
    case OptionKind::object: s["type"] = "object"; break;
  }
  if (o) {
    s["description"] = std::string(o->meaning);
    if (!o->fallback.empty()) s["default"] = json::parse(o->fallback);
    if (o->pointer == "/providers/*") s["required"] = {"use"};
  }
  return s;
}

}  // namespace

std::string config_schema() {
  json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "tenon session configuration"}};
  const json options = schema_of(option_tree());
  for (const auto& [key, value] : options.items()) schema[key] = value;
  return schema.dump(2) + "\n";
}

std::string config_docs() {
  std::string out = "| key | takes | meaning | read by |\n|---|---|---|---|\n";
  const auto cell = [](std::string text) {
    for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
    return text;
  };
  for (const Option& o : option_table())
    out += fmt::format("| `{}` | {} | {} | {} |\n", o.pointer, cell(option_form(o)), cell(std::string(o.meaning)),
                       o.reader == "-" ? "" : fmt::format("`{}`", o.reader));
  return out;
}

}  // namespace tenon
