#include "core/provider/bundle_trust.h"

#include "core/base/dynlib.h"
#include "core/base/file_cache.h"
#include "core/base/text.h"
#include "core/provider/trust.h"

namespace tenon {
namespace {

constexpr std::uint64_t records_limit = std::uint64_t{64} << 20;  // some eight thousand bundles; those used longest ago go first

// Of what was allowed: a file for each bundle, named by its digest, in a folder where nobody else can write.
Result<std::shared_ptr<FileCache>> records() {
  const std::string data = privileged_process() ? std::string() : expand_variables("${XDG_DATA_HOME}");
  if (data.empty() || data[0] != '/') return error(TENON_FAILED_PRECONDITION, "this process has no folder of the user's to remember bundles in (XDG_DATA_HOME)");
  return FileCache::open(data + "/tenon/bundles", records_limit);
}

std::string record_of(const Bundle& bundle) { return "allowed " + bundle.digest(); }

}  // namespace

Status may_use_stored(const Bundle& bundle, BundleUse policy) {
  if (policy == BundleUse::none) return error(TENON_PERMISSION_DENIED, "/session/bundle is \"none\"");
  if (bundle.file()) TENON_TRY(only_ours(bundle.file()->path()));
  if (policy == BundleUse::any) return {};
  Result<std::shared_ptr<FileCache>> known = records();
  if (known.ok() && (*known)->get(record_of(bundle), FileCache::Check::content)) return {};
  return error(TENON_PERMISSION_DENIED,
               "it was compiled elsewhere, and artifacts may be machine code: if you trust where it comes from, `tenon compile --allow FILE` once or /session/bundle "
               "\"any\" lets providers have what it stores{}",
               known.ok() ? "" : fmt::format(" ({})", known.status().text()));
}

Status allow_stored(const Bundle& bundle) {
  TENON_ASSIGN(const std::shared_ptr<FileCache> known, records());
  const std::string path = bundle.file() ? bundle.file()->path() : std::string();
  known->put(record_of(bundle), {reinterpret_cast<const std::byte*>(path.data()), path.size()});
  if (!known->get(record_of(bundle), FileCache::Check::content))
    return error(TENON_UNAVAILABLE, "no record could be written to \"{}\"; the log (cache:debug) says why", known->folder());
  known->trim();
  return {};
}

}  // namespace tenon
