#include "core/provider/options.h"

#include "core/base/json_text.h"
#include "core/provider/options_impl.h"

namespace tenon {

Result<OptionsPtr> make_options(std::string_view text) {
  JsonText parsed = read_json(text.empty() ? "{}" : text, "options");
  TENON_TRY(parsed.status());
  if (!parsed.root.is_object()) return invalid("options: an object is expected, found {}", parsed.root.type_name());
  return OptionsPtr(std::make_shared<tenon_config>(tenon_config{std::move(parsed.root)}));
}

std::int32_t option_get(const tenon_config& config, std::string_view pointer, std::int32_t type, void* out) try {
  const nlohmann::json::json_pointer at{std::string(pointer)};
  if (!config.value.contains(at)) return 0;
  const nlohmann::json& v = config.value.at(at);
  if (type == TENON_CONFIG_BOOL && v.is_boolean()) {
    *static_cast<std::int32_t*>(out) = v.get<bool>() ? 1 : 0;
  } else if (type == TENON_CONFIG_INT && v.is_number_integer()) {
    if (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX) return -1;
    *static_cast<std::int64_t*>(out) = v.get<std::int64_t>();
  } else if (type == TENON_CONFIG_NUMBER && v.is_number()) {
    *static_cast<double*>(out) = v.get<double>();
  } else if (type == TENON_CONFIG_STRING && v.is_string()) {
    const std::string& text = v.get_ref<const std::string&>();
    *static_cast<tenon_str*>(out) = {text.data(), text.size()};
  } else {
    return -1;
  }
  return 1;
} catch (const std::exception&) {
  return 0;  // not a JSON pointer: nothing is set there
}

std::string options_text(const tenon_config& config) {
  return config.value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace tenon
