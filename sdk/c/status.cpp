// Version, statuses, texts, element types and the log of the C API.
#include <cstdlib>

#include "core/base/log.h"
#include "core/tensor/dtype.h"
#include "sdk/c/handles.h"

#define TENON_TEXT_(x) #x
#define TENON_TEXT(x) TENON_TEXT_(x)

namespace tenon::sdk {

tenon_status* out_of_memory() {
  static tenon_status status{TENON_RESOURCE_EXHAUSTED, 0, "out of memory"};
  return &status;
}

tenon_status* foreign_exception(const char* what) {
  try {
    return internal("unexpected failure: {}", what).release();
  } catch (...) {
    return out_of_memory();
  }
}

Status give_text(const std::string& text, char** out_text) {
  if (!out_text) return missing("out_text");
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (!copy) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a text of {} bytes", text.size());
  std::memcpy(copy, text.c_str(), text.size() + 1);
  *out_text = copy;
  return {};
}

}  // namespace tenon::sdk

using namespace tenon;
using namespace tenon::sdk;

const char* tenon_version(void) {
  return TENON_TEXT(TENON_VERSION_MAJOR) "." TENON_TEXT(TENON_VERSION_MINOR) "." TENON_TEXT(TENON_VERSION_PATCH);
}
int32_t tenon_version_number(void) { return TENON_VERSION_NUMBER; }

int32_t tenon_status_code(const tenon_status* status) { return status ? status->code : TENON_OK; }
const char* tenon_status_text(const tenon_status* status) { return status ? status->text.c_str() : ""; }
void tenon_status_release(tenon_status* status) {
  if (status != out_of_memory()) delete status;
}
const char* tenon_code_name(int32_t code) { return code_name(code); }

void tenon_text_release(char* text) { std::free(text); }

const char* tenon_dtype_name(int32_t dtype) { return dtype_name(dtype).data(); }
const char* tenon_dtype_onnx_name(int32_t dtype) { return dtype_onnx_name(dtype).data(); }
int32_t tenon_dtype_bits(int32_t dtype) { return dtype_bits(dtype); }
int32_t tenon_dtype_from_name(const char* name) {
  return name ? dtype_from_name(name).value_or(TENON_DTYPE_UNDEFINED) : TENON_DTYPE_UNDEFINED;
}

tenon_status* tenon_log_configure(const char* spec) {
  return guard([&]() -> Status { return spec ? log_configure(spec) : missing("spec"); });
}
void tenon_log_set_level(const char* topic, int32_t level) {
  tenon_status_release(guard([&]() -> Status {
    log_set_level(topic ? topic : "", level);
    return {};
  }));
}
tenon_status* tenon_log_set_sink(tenon_log_fn fn, void* user) {
  return guard([&]() -> Status {
    if (!fn) {
      log_set_sink({});
      return {};
    }
    log_set_sink([fn, user](std::int32_t level, std::string_view topic, std::string_view text) {
      fn(user, level, std::string(topic).c_str(), std::string(text).c_str());
    });
    return {};
  });
}
