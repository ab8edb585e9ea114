#include "core/base/config_check.h"

#include "core/base/text.h"

namespace tenon {
namespace {

using nlohmann::json;

std::vector<std::string> split(std::string_view choices) {
  std::vector<std::string> out;
  while (!choices.empty()) {
    const std::size_t bar = choices.find('|');
    out.emplace_back(choices.substr(0, bar));
    choices = bar == std::string_view::npos ? std::string_view() : choices.substr(bar + 1);
  }
  return out;
}

std::string quoted(const json& v) {
  std::string text = v.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

class Checker {
 public:
  explicit Checker(JsonText& text) : text_(text) {}

  void section(const OptionNode& node, const json& v, const std::string& pointer) {
    if (!v.is_object()) return wrong(pointer, v, "an object");
    for (const auto& [key, value] : v.items()) {
      const std::string where = pointer + "/" + pointer_part(key);
      if (key.starts_with("x-")) continue;
      const auto found = node.children.find(key);
      if (found != node.children.end()) {
        check(found->second, value, where);
        continue;
      }
      std::vector<std::string> names;
      for (const auto& [name, child] : node.children)
        if (name != "$schema") names.push_back(name);
      const std::string near = nearest(key, names);
      if (near.empty()) {
        std::string all;
        for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
        text_.fault(where, false, fmt::format("unknown key; known here: {}", all));
      } else {
        text_.fault(where, false, fmt::format("unknown key; did you mean \"{}\" ({})?", near,
                                              option_form(*node.children.at(near).option)));
      }
    }
  }

  void check(const OptionNode& node, const json& v, const std::string& pointer) {
    const Option& o = *node.option;
    switch (o.kind) {
      case OptionKind::section: return section(node, v, pointer);
      case OptionKind::shape:
        if (v.is_number_integer()) return integer(o, v, pointer, 0);
        if (!v.is_object()) return wrong(pointer, v, "an object, or an integer of at least 0");
        section(node, v, pointer);
        return shape(v, pointer);
      case OptionKind::list:
        if (!v.is_array()) return wrong(pointer, v, "an array");
        for (std::size_t i = 0; i < v.size(); ++i) check(node.children.at("*"), v[i], pointer + "/" + std::to_string(i));
        if (pointer == "/providers") providers(v);
        return;
      case OptionKind::map:
        if (!v.is_object()) return wrong(pointer, v, "an object");
        for (const auto& [key, value] : v.items())
          if (!key.starts_with("x-")) check(node.children.at("*"), value, pointer + "/" + pointer_part(key));
        return;
      case OptionKind::boolean:
        if (!v.is_boolean()) wrong(pointer, v, "true or false");
        return;
      case OptionKind::integer: return integer(o, v, pointer, o.min);
      case OptionKind::integer_or_auto:
        if (v.is_string() && v.get_ref<const std::string&>() == "auto") return;
        if (!v.is_number_integer()) return wrong(pointer, v, fmt::format("\"auto\" or an integer from {} to {}", o.min, o.max));
        return integer(o, v, pointer, o.min);
      case OptionKind::integer_or_text:
        if (v.is_string()) return;
        if (!v.is_number_integer()) return wrong(pointer, v, "an integer or a text");
        return integer(o, v, pointer, o.min);
      case OptionKind::size:
        if (v.is_string() && parse_size(v.get_ref<const std::string&>()).value_or(0) > 0) return;
        if (v.is_number_integer()) return integer(o, v, pointer, o.min);
        return wrong(pointer, v, "a size such as \"4GiB\", \"512MiB\" or a number of bytes");
      case OptionKind::time:
        if (!v.is_string() || !parse_time(v.get_ref<const std::string&>())) wrong(pointer, v, "a time such as \"60s\" or \"250ms\"");
        return;
      case OptionKind::text:
        if (!v.is_string()) return wrong(pointer, v, "a text");
        if (v.get_ref<const std::string&>().find('\0') != std::string::npos) text_.fault(pointer, true, "holds a zero byte");
        return;
      case OptionKind::choice: {
        const std::vector<std::string> choices = split(o.choices);
        for (const std::string& choice : choices)
          if (v == choice) return;
        std::string all;
        for (const std::string& choice : choices) all += (all.empty() ? "\"" : ", \"") + choice + "\"";
        const std::string near = v.is_string() ? nearest(v.get_ref<const std::string&>(), choices) : "";
        const std::string hint = near.empty() || choices.size() == 1 ? "" : fmt::format("; did you mean \"{}\"?", near);
        text_.fault(pointer, true, fmt::format("{} is not one of {}{}", quoted(v), all, hint));
        return;
      }
      case OptionKind::texts:
        if (!v.is_array()) return wrong(pointer, v, "an array of texts");
        for (std::size_t i = 0; i < v.size(); ++i)
          if (!v[i].is_string()) wrong(pointer + "/" + std::to_string(i), v[i], "a text");
        return;
      case OptionKind::object:
        if (!v.is_object()) wrong(pointer, v, "an object");
        return;
    }
  }

 private:
  void wrong(const std::string& pointer, const json& v, std::string_view expected) {
    text_.fault(pointer, true, fmt::format("{} is not {}", quoted(v), expected));
  }
  void integer(const Option& o, const json& v, const std::string& pointer, long long min) {
    const long long max = o.max == 0 ? std::numeric_limits<long long>::max() : o.max;
    const bool huge = v.is_number_unsigned() && v.get<std::uint64_t>() > static_cast<std::uint64_t>(max);
    if (v.is_number_integer() && !huge && v.get<long long>() >= min && v.get<long long>() <= max) return;
    if (max == std::numeric_limits<long long>::max()) wrong(pointer, v, fmt::format("an integer of at least {}", min));
    else wrong(pointer, v, min == max ? fmt::format("{}", min) : fmt::format("an integer from {} to {}", min, max));
  }
  void shape(const json& v, const std::string& pointer) {
    const auto number = [&](const char* key, long long fallback) {
      return v.contains(key) && v[key].is_number_integer() ? v[key].get<long long>() : fallback;
    };
    const long long min = number("min", 0), max = number("max", std::numeric_limits<long long>::max());
    const long long opt = number("opt", min);
    if (min > max) text_.fault(pointer, false, fmt::format("min {} is greater than max {}", min, max));
    else if (opt < min || opt > max) text_.fault(pointer, false, fmt::format("opt {} is not between min {} and max {}", opt, min, max));
  }
  void providers(const json& v) {
    for (std::size_t i = 0; i < v.size(); ++i)
      if (v[i].is_object() && !v[i].contains("use"))
        text_.fault("/providers/" + std::to_string(i), false, "the key \"use\" is missing: which provider?");
  }
  JsonText& text_;
};

}  // namespace

const OptionNode& option_tree() {
  static const OptionNode tree = [] {
    OptionNode root;
    for (const Option& option : option_table()) {
      OptionNode* node = &root;
      std::string_view rest = option.pointer;
      while (!rest.empty()) {
        rest.remove_prefix(1);
        const std::size_t slash = rest.find('/');
        node = &node->children[std::string(rest.substr(0, slash))];
        rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
      }
      node->option = &option;
    }
    return root;
  }();
  return tree;
}

void check_config(JsonText& text) {
  Checker(text).section(option_tree(), text.root, "");
}

std::string option_form(const Option& o) {
  std::string form;
  switch (o.kind) {
    case OptionKind::section: form = "section"; break;
    case OptionKind::list: form = "array"; break;
    case OptionKind::map: form = "object with free keys"; break;
    case OptionKind::boolean: form = "true or false"; break;
    case OptionKind::integer: form = "integer"; break;
    case OptionKind::integer_or_auto: form = "integer or \"auto\""; break;
    case OptionKind::integer_or_text: form = "integer or text"; break;
    case OptionKind::size: form = "size"; break;
    case OptionKind::time: form = "time"; break;
    case OptionKind::text: form = "text"; break;
    case OptionKind::choice: {
      for (const std::string& choice : split(o.choices)) form += (form.empty() ? "" : ", ") + choice;
      break;
    }
    case OptionKind::texts: form = "array of texts"; break;
    case OptionKind::object: form = "object"; break;
    case OptionKind::shape: form = "section or integer"; break;
  }
  if (!o.fallback.empty()) form += fmt::format("; default {}", o.fallback);
  return form;
}

}  // namespace tenon
