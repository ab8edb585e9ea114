// Bundles of the C API: compiled models as files.
#include <nlohmann/json.hpp>

#include "core/run/compile.h"
#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

using Json = nlohmann::ordered_json;

std::string report_json(const BundleReport& r) {
  Json targets = Json::array();
  for (const BundleReport::Target& t : r.targets) {
    Json made = Json::array();
    for (const std::string& m : t.made) made.push_back(Json::parse(m, nullptr, false));
    targets.push_back({{"provider", t.provider}, {"version", t.version}, {"fingerprint", t.fingerprint}, {"artifacts", t.artifacts},
                       {"artifact_bytes", t.artifact_bytes}, {"packed", t.packed}, {"packed_bytes", t.packed_bytes}, {"added", t.added},
                       {"made", std::move(made)}});
  }
  return Json{{"path", r.path}, {"bytes", r.bytes}, {"model_bytes", r.model_bytes}, {"weight_bytes", r.weight_bytes}, {"tenon", r.tenon},
              {"digest", r.digest}, {"usable", r.usable.empty()}, {"why_not", r.usable}, {"targets", std::move(targets)}, {"notes", r.notes}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

tenon_status* tenon_bundle_compile(const char* model_path, const char* bundle_path, uint32_t flags, const tenon_load_options* options, char** out_text) {
  return guard([&]() -> Status {
    if (!model_path || !bundle_path) return missing("model_path or bundle_path");
    if (flags & ~(TENON_COMPILE_ADD | TENON_COMPILE_NO_PACKED)) return invalid("flags is {:#x}; known are TENON_COMPILE_ADD and TENON_COMPILE_NO_PACKED", flags);
    CompileOptions compile;
    TENON_TRY(read_load(options, model_path, compile.load));
    compile.add = (flags & TENON_COMPILE_ADD) != 0;
    compile.packed = (flags & TENON_COMPILE_NO_PACKED) == 0;
    TENON_ASSIGN(const BundleReport report, compile_bundle(model_path, bundle_path, std::move(compile)));
    return out_text ? give_text(report_json(report), out_text) : Status();
  });
}

tenon_status* tenon_bundle_text(const char* path, char** out_text) {
  return guard([&]() -> Status {
    if (!path) return missing("path");
    TENON_ASSIGN(const BundleReport report, describe_bundle(path));
    return give_text(report_json(report), out_text);
  });
}

tenon_status* tenon_bundle_allow(const char* path) {
  return guard([&] { return path ? allow_bundle(path) : missing("path"); });
}
