#include "core/provider/options_schema.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "core/base/json_text.h"
#include "core/base/text.h"

namespace tenon {
namespace {

using nlohmann::json;

bool has_type(const json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return type == "null" && value.is_null();
}

bool is_type(const json& name) {
  static constexpr std::string_view types[] = {"object", "array", "string", "boolean", "integer", "number", "null"};
  return name.is_string() && std::find(std::begin(types), std::end(types), name.get<std::string>()) != std::end(types);
}

std::string shown(const json& v) {
  std::string text = v.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

}  // namespace

void apply_schema(const json& schema, json& value, const std::string& pointer, std::vector<std::string>& faults) {
  if (!schema.is_object()) return;
  const auto fault = [&](std::string text) { faults.push_back(fmt::format("error at {}: {}", pointer.empty() ? "/" : pointer, text)); };
  if (const auto type = schema.find("type"); type != schema.end()) {
    const bool ok = type->is_array() ? std::any_of(type->begin(), type->end(), [&](const json& t) { return t.is_string() && has_type(value, t.get<std::string>()); })
                                     : !type->is_string() || has_type(value, type->get<std::string>());
    if (!ok) return fault(fmt::format("{} is not of type {}", shown(value), type->is_string() ? type->get<std::string>() : shown(*type)));
  }
  if (const auto one = schema.find("const"); one != schema.end() && *one != value) fault(fmt::format("{} is not {}", shown(value), shown(*one)));
  if (const auto choices = schema.find("enum"); choices != schema.end() && choices->is_array() &&
                                                std::find(choices->begin(), choices->end(), value) == choices->end()) {
    std::vector<std::string> words;
    for (const json& choice : *choices)
      if (choice.is_string()) words.push_back(choice.get<std::string>());
    const std::string near = value.is_string() ? nearest(value.get<std::string>(), words) : "";
    fault(fmt::format("{} is not one of {}{}", shown(value), shown(*choices), near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }
  if (value.is_number()) {
    if (const auto low = schema.find("minimum"); low != schema.end() && low->is_number() && value < *low)
      fault(fmt::format("{} is less than {}", shown(value), shown(*low)));
    if (const auto high = schema.find("maximum"); high != schema.end() && high->is_number() && value > *high)
      fault(fmt::format("{} is greater than {}", shown(value), shown(*high)));
  }
  if (value.is_array() && schema.contains("items"))
    for (std::size_t i = 0; i < value.size(); ++i) apply_schema(schema["items"], value[i], pointer + "/" + std::to_string(i), faults);
  if (!value.is_object()) return;

  const json none = json::object();
  const auto found = schema.find("properties");
  const json& properties = found != schema.end() && found->is_object() ? *found : none;
  const auto extra = schema.find("additionalProperties");
  // Options are strict unless the schema says otherwise.
  const bool open = extra != schema.end() && !(extra->is_boolean() && !extra->get<bool>());
  for (auto& [key, item] : value.items()) {
    const std::string where = pointer + "/" + pointer_part(key);
    if (key.starts_with("x-")) continue;
    if (const auto property = properties.find(key); property != properties.end()) {
      apply_schema(*property, item, where, faults);
    } else if (open) {
      if (extra->is_object()) apply_schema(*extra, item, where, faults);
    } else if (found != schema.end() || extra != schema.end()) {
      std::vector<std::string> names;
      for (const auto& [name, property] : properties.items()) names.push_back(name);
      const std::string near = nearest(key, names);
      std::string all;
      for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
      faults.push_back(fmt::format("error at {}: unknown option; {}", where,
                                   !near.empty() ? fmt::format("did you mean \"{}\"?", near) : all.empty() ? "there are none" : "known here: " + all));
    }
  }
  if (const auto required = schema.find("required"); required != schema.end() && required->is_array())
    for (const json& name : *required)
      if (name.is_string() && !value.contains(name.get<std::string>())) fault(fmt::format("the option {} is missing", shown(name)));
  for (const auto& [name, property] : properties.items())
    if (property.is_object() && property.contains("default") && !value.contains(name)) value[name] = property["default"];
}

void check_schema(const json& schema, const std::string& pointer, std::vector<std::string>& faults) {
  static const std::vector<std::string> known = {"type",     "enum",  "const",       "default", "minimum",  "maximum", "properties", "additionalProperties",
                                                 "required", "items", "description", "title",   "examples", "$schema", "$comment"};
  if (schema.is_boolean()) return;
  if (!schema.is_object()) {
    faults.push_back(fmt::format("error at {}: a schema is an object", pointer));
    return;
  }
  const auto all_texts = [](const json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), [](const json& one) { return one.is_string(); });
  };
  for (const auto& [key, value] : schema.items()) {
    const std::string where = pointer + "/" + pointer_part(key);
    const auto expect = [&, v = &value](bool good, std::string_view what) {
      if (!good) faults.push_back(fmt::format("error at {}: {} is not {}", where, shown(*v), what));
    };
    if (key == "type")
      expect(value.is_array() ? std::all_of(value.begin(), value.end(), is_type) : is_type(value),
             "object, array, string, boolean, integer, number or null, or an array of them");
    if (key == "properties") expect(value.is_object(), "an object of schemas");
    if (key == "required") expect(all_texts(value), "an array of texts");
    if (key == "enum") expect(value.is_array(), "an array of values");
    if (key == "minimum" || key == "maximum") expect(value.is_number(), "a number");
    if (key.starts_with("x-")) continue;
    if (std::find(known.begin(), known.end(), key) == known.end())
      faults.push_back(fmt::format("error at {}: this keyword of JSON Schema is not supported here", where));
    if (key == "properties" && value.is_object())
      for (const auto& [name, property] : value.items()) check_schema(property, where + "/" + pointer_part(name), faults);
    if (key == "items" || key == "additionalProperties") check_schema(value, where, faults);
  }
}

}  // namespace tenon
