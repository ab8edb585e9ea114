// Configurations, and the cancel tokens and profiles that go with loads and runs.
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

std::string text_of(const char* text) { return text ? text : ""; }

Status give(Result<Config> config, tenon_configuration** out) {
  if (!out) return missing("out_configuration");
  if (!config.ok()) return std::move(config.status());
  *out = new tenon_configuration(*std::move(config));
  return {};
}

}  // namespace

tenon_status* tenon_configuration_create(tenon_configuration** out_configuration) {
  return guard([&] { return give(Config(), out_configuration); });
}
tenon_status* tenon_configuration_parse(const char* json, const char* source, const char* folder, tenon_configuration** out_configuration) {
  return guard([&]() -> Status {
    if (!json) return missing("json");
    return give(Config::parse(json, source ? source : "configuration", text_of(folder)), out_configuration);
  });
}
tenon_status* tenon_configuration_load(const char* path, tenon_configuration** out_configuration) {
  return guard([&]() -> Status { return path ? give(Config::load(path), out_configuration) : missing("path"); });
}
tenon_status* tenon_configuration_find(const char* path, const char* model_path, tenon_configuration** out_configuration) {
  return guard([&] { return give(Config::find(text_of(path), text_of(model_path)), out_configuration); });
}
tenon_status* tenon_configuration_copy(const tenon_configuration* configuration, tenon_configuration** out_configuration) {
  return guard([&]() -> Status {
    return live(configuration) ? give(Config(configuration->config), out_configuration) : none_such("configuration");
  });
}
void tenon_configuration_release(tenon_configuration* configuration) { release(configuration, "tenon_configuration_release"); }

tenon_status* tenon_configuration_set(tenon_configuration* configuration, const char* pointer, const char* value) {
  return guard([&]() -> Status {
    if (!live(configuration)) return none_such("configuration");
    if (!pointer || !value) return missing("pointer or value");
    return configuration->config.set(pointer, value);
  });
}
tenon_status* tenon_configuration_add_provider(tenon_configuration* configuration, const char* name, const char* device,
                                               const char* options_json, int32_t required) {
  return guard([&]() -> Status {
    if (!live(configuration)) return none_such("configuration");
    if (!name) return missing("name");
    ProviderEntry entry;
    entry.use = name;
    entry.device = text_of(device);
    if (options_json) entry.options = options_json;
    entry.required = required != 0;
    return configuration->config.add_provider(entry);
  });
}
tenon_status* tenon_configuration_clear_providers(tenon_configuration* configuration) {
  return guard([&]() -> Status { return live(configuration) ? configuration->config.clear_providers() : none_such("configuration"); });
}
size_t tenon_configuration_provider_count(const tenon_configuration* configuration) {
  return live(configuration) ? configuration->config.providers.size() : 0;
}
tenon_status* tenon_configuration_text(const tenon_configuration* configuration, char** out_text) {
  return guard([&]() -> Status { return live(configuration) ? give_text(configuration->config.json(), out_text) : none_such("configuration"); });
}
tenon_status* tenon_configuration_origins(const tenon_configuration* configuration, char** out_text) {
  return guard([&]() -> Status {
    return live(configuration) ? give_text(configuration->config.show_origin(), out_text) : none_such("configuration");
  });
}
tenon_status* tenon_configuration_schema(char** out_text) {
  return guard([&] { return give_text(config_schema(), out_text); });
}
tenon_status* tenon_configuration_docs(char** out_text) {
  return guard([&] { return give_text(config_docs(), out_text); });
}

tenon_status* tenon_cancel_token_create(tenon_cancel_token** out_token) {
  return guard([&]() -> Status {
    if (!out_token) return missing("out_token");
    *out_token = new tenon_cancel_token;
    return {};
  });
}
void tenon_cancel_token_cancel(const tenon_cancel_token* token) {
  if (live(token)) token->token->cancel();
}
int32_t tenon_cancel_token_cancelled(const tenon_cancel_token* token) { return live(token) && token->token->cancelled(); }
void tenon_cancel_token_release(tenon_cancel_token* token) { release(token, "tenon_cancel_token_release"); }

tenon_status* tenon_profile_create(tenon_profile** out_profile) {
  return guard([&]() -> Status {
    if (!out_profile) return missing("out_profile");
    *out_profile = new tenon_profile;
    return {};
  });
}
tenon_status* tenon_profile_trace(const tenon_profile* profile, char** out_text) {
  return guard([&]() -> Status {
    if (!live(profile)) return none_such("profile");
    std::lock_guard lock(profile->mutex);
    return give_text(profile->profile.chrome_trace(), out_text);
  });
}
size_t tenon_profile_event_count(const tenon_profile* profile) {
  if (!live(profile)) return 0;
  std::lock_guard lock(profile->mutex);
  return profile->profile.events.size();
}
void tenon_profile_release(tenon_profile* profile) { release(profile, "tenon_profile_release"); }
