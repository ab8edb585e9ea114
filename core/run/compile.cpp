#include "core/run/compile.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/base/bundle_writer.h"
#include "core/base/thread_pool.h"
#include "core/base/log.h"
#include "core/onnx/detach.h"
#include "core/provider/bundle_trust.h"
#include "core/provider/trust.h"

namespace tenon {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::uint64_t weight_alignment = 64, page_from = 65536;  // large weights begin on a page, which can be given back alone

Result<std::shared_ptr<const Bundle>> bundle_at(const std::string& path) {
  TENON_ASSIGN(std::shared_ptr<const Bundle> bundle, Bundle::find(path));
  if (bundle) return bundle;
  TENON_TRY(to_status(FileMap::open(path)));
  return invalid("\"{}\" is no bundle; `tenon compile MODEL -o FILE.tnb` makes one", path);
}

// What of the configuration decides whether stored things are found again. No paths: they say nothing to another machine.
std::string settings(const Config& config) {
  Json providers = Json::array(), shapes = Json::object();
  for (const ProviderEntry& p : config.providers) {
    if (p.use.find('/') != p.use.npos) continue;
    Json one = {{"use", p.use}};
    if (!p.device.empty()) one["device"] = p.device;
    if (const Json options = Json::parse(p.options, nullptr, false); options.is_object() && !options.empty()) one["options"] = options;
    providers.push_back(std::move(one));
  }
  for (const ShapeEntry& s : config.shapes) {
    Json& one = shapes[s.name] = Json::object();
    if (s.min) one["min"] = *s.min;
    if (s.opt) one["opt"] = *s.opt;
    if (s.max) one["max"] = *s.max;
  }
  const char* const optimize[] = {"none", "basic", "extended", "all"};
  const int threads = config.threads > 0 ? config.threads : static_cast<int>(ThreadPool::instance().size());
  return Json{{"tenon", TENON_VERSION}, {"providers", std::move(providers)}, {"shapes", std::move(shapes)},
              {"optimize", optimize[static_cast<int>(config.optimize)]}, {"threads", threads}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The model and its weights, as they are.
Status write_model(BundleWriter& writer, const std::string& path, const ImportOptions& import, BundleIndex& index) {
  const std::uint64_t begin = writer.size();  // on a page
  TENON_ASSIGN(const std::string message, detach_weights(path, import, [&](std::span<const std::byte> bytes) -> Result<std::uint64_t> {
    TENON_ASSIGN(const std::uint64_t at, writer.append(bytes, bytes.size() >= page_from ? bundle_page : weight_alignment));
    return at - begin;
  }));
  index.weights = {begin, writer.size() - begin};
  TENON_SET(index.model.offset, writer.append({reinterpret_cast<const std::byte*>(message.data()), message.size()}));
  index.model.bytes = message.size();
  TENON_ASSIGN(const auto file, FileMap::open(writer.working_path()));
  index.weights_hash = xxh128_hex(file->bytes().subspan(begin, index.weights.bytes));
  index.model_hash = xxh128_hex({reinterpret_cast<const std::byte*>(message.data()), message.size()});
  return {};
}

// The same sections, in the same order.
Status write_bundle(BundleWriter& writer, const Bundle& from, BundleIndex& index) {
  index = from.index();
  const auto copy = [&](BundleRange& range) -> Status {
    TENON_SET(range.offset, writer.append(from.at(range)));
    return {};
  };
  TENON_TRY(copy(index.weights));
  TENON_TRY(copy(index.model));
  for (BundleTarget& t : index.targets)
    for (BundleStored& s : t.stored) TENON_TRY(copy(s.range));
  return {};
}

// Adds what was made; what was stored under the same key before is put out of use.
Status write_made(BundleWriter& writer, const std::vector<BundleMade>& made, const std::string& how, bool packed, BundleIndex& index,
                  std::vector<std::uint64_t>& added) {
  for (const BundleMade& m : made) {
    if (!packed && m.stored.kind == BundleStored::Kind::packed) continue;
    auto target = std::find_if(index.targets.begin(), index.targets.end(), [&](const BundleTarget& t) { return t.same(m.target); });
    if (target == index.targets.end()) target = index.targets.insert(index.targets.end(), m.target);
    BundleStored stored = m.stored;
    TENON_SET(stored.range.offset, writer.append(m.bytes));
    stored.range.bytes = m.bytes.size();
    std::erase_if(target->stored, [&](const BundleStored& s) { return s.kind == stored.kind && s.key == stored.key; });
    target->stored.push_back(std::move(stored));
    if (std::find(target->made.begin(), target->made.end(), how) == target->made.end()) target->made.push_back(how);
    added.resize(index.targets.size());
    ++added[static_cast<std::size_t>(target - index.targets.begin())];
  }
  return {};
}

// What is said of the file as it is written is meant of the model.
std::string with_name(std::string_view text, const std::string& working, const std::string& name) {
  std::string out(text);
  const std::string shown = std::filesystem::path(working).filename().string();
  for (std::size_t at = 0; (at = out.find(shown, at)) != out.npos; at += name.size()) {
    const std::size_t quote = out.rfind('"', at), begin = quote == out.npos ? at : quote + 1;
    out.replace(begin, at + shown.size() - begin, name);
    at = begin;
  }
  return out;
}

BundleReport report_of(const Bundle& bundle) {
  BundleReport out;
  const BundleIndex& index = bundle.index();
  out.path = bundle.file() ? bundle.file()->path() : "";
  out.digest = bundle.digest();
  out.tenon = index.tenon;
  out.bytes = bundle.bytes().size();
  out.model_bytes = index.model.bytes;
  out.weight_bytes = index.weights.bytes;
  for (const BundleTarget& t : index.targets) {
    BundleReport::Target& to = out.targets.emplace_back();
    to.provider = t.provider, to.version = t.version, to.fingerprint = t.fingerprint, to.made = t.made;
    for (const BundleStored& s : t.stored) {
      const bool artifact = s.kind == BundleStored::Kind::artifact;
      ++(artifact ? to.artifacts : to.packed);
      (artifact ? to.artifact_bytes : to.packed_bytes) += s.range.bytes;
    }
  }
  return out;
}

}  // namespace

Result<BundleReport> compile_bundle(const std::string& model_path, const std::string& bundle_path, CompileOptions options) {
  TENON_ASSIGN(const std::shared_ptr<const Bundle> before, Bundle::find(model_path));
  if (before && !options.add) return invalid("\"{}\" is a bundle already; to compile it for this machine as well, add to it (--add)", model_path);
  if (options.add) TENON_TRY(to_status(bundle_at(model_path)));
  TENON_TRY(to_status(FileMap::open(model_path)));  // before a file is begun
  if (before)
    if (Status may = may_use_stored(*before, options.load.config.bundle); !may.ok())
      return std::move(may).at("bundle \"" + model_path + "\": it is not added to, which would let providers have what it stores");
  TENON_ASSIGN(const auto writer, BundleWriter::create(bundle_path));
  BundleIndex index;
  if (before) TENON_TRY(write_bundle(*writer, *before, index));
  else TENON_TRY(write_model(*writer, model_path, {options.load.config.limits, nullptr}, index));
  index.tenon = TENON_VERSION;
  TENON_TRY(writer->write_index(index));

  std::vector<BundleMade> made;
  std::vector<std::uint64_t> added(index.targets.size());
  std::vector<std::string> notes;
  const std::string how = settings(options.load.config);
  options.load.made = &made;
  TENON_TRY(options.load.config.set("/session/cache", "\"\""));
  {
    Result<std::unique_ptr<Session>> session = Session::load_file(writer->working_path(), std::move(options.load));
    if (!session.ok()) return error(session.status().code(), "{}", with_name(session.status().text(), writer->working_path(), model_path));
    notes = (*session)->placement().notes;
    TENON_TRY(write_made(*writer, made, how, options.packed, index, added));
  }
  TENON_TRY(writer->write_index(index));
  TENON_TRY(writer->commit());
  TENON_ASSIGN(const std::shared_ptr<const Bundle> written, bundle_at(bundle_path));
  BundleReport report = report_of(*written);
  for (std::size_t t = 0; t < added.size(); ++t) report.targets[t].added = added[t];
  if (Status allowed = allow_stored(*written); !allowed.ok()) notes.push_back(std::string(allowed.text()));
  if (const Status may = may_use_stored(*written, BundleUse::allowed); !may.ok()) report.usable = may.text();
  report.notes = std::move(notes);
  return report;
}

Result<BundleReport> describe_bundle(const std::string& path) {
  TENON_ASSIGN(const std::shared_ptr<const Bundle> bundle, bundle_at(path));
  BundleReport report = report_of(*bundle);
  if (const Status may = may_use_stored(*bundle, BundleUse::allowed); !may.ok()) report.usable = may.text();
  return report;
}

Status allow_bundle(const std::string& path) {
  TENON_ASSIGN(const std::shared_ptr<const Bundle> bundle, bundle_at(path));
  TENON_TRY(bundle->check_content());
  TENON_TRY(only_ours(path));
  return allow_stored(*bundle);
}

}  // namespace tenon
