#include "core/provider/bundle_store.h"

#include <algorithm>
#include <functional>

#include "core/base/log.h"
#include "core/base/sha256.h"

namespace tenon {
namespace {

constexpr std::size_t longest_what = 120;

// Of the file that the provider was loaded from, by its identity, so that each is read once.
Result<std::string> library_hash(const Provider& provider) {
  static std::mutex mutex;
  static auto* known = new std::map<std::string, std::string>;
  std::lock_guard lock(mutex);
  std::string& hash = (*known)[provider.library_identity()];
  if (!hash.empty()) return hash;
  TENON_ASSIGN(const auto file, FileMap::open(provider.manifest().library));
  if (file->identity() != provider.library_identity())
    return error(TENON_FAILED_PRECONDITION, "its library \"{}\" has changed since it was loaded", provider.manifest().library);
  return hash = xxh128_hex(file->bytes());
}

Result<BundleTarget> target_of(Device& device) {
  BundleTarget t;
  t.provider = device.provider().id();
  t.version = device.provider().version();
  TENON_SET(t.library, library_hash(device.provider()));
  TENON_SET(t.fingerprint, device.fingerprint());
  return t;
}

// Why nothing that is stored for this provider fits the device.
std::string difference(const BundleIndex& index, const BundleTarget& own) {
  std::string why;
  for (const BundleTarget& t : index.targets) {
    if (t.provider != own.provider) continue;
    const std::string one = t.version != own.version           ? fmt::format("version {}, here it is {}", t.version, own.version)
                            : t.fingerprint != own.fingerprint ? fmt::format("device \"{}\", here it is \"{}\"", t.fingerprint, own.fingerprint)
                                                               : std::string("another build of the provider's library");
    if (why.find(one) == why.npos) why += (why.empty() ? "what it holds was stored for " : "; for ") + one;
  }
  return why;
}

std::string shortened(std::string_view key) {
  std::string out(key.substr(0, std::min({key.size(), longest_what, key.find('\n')})));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  return out;
}

}  // namespace

std::optional<std::uint64_t> BundleStore::offset_of(const std::byte* data) const {
  const auto all = bundle_->bytes();
  const std::less<const std::byte*> before;
  if (!data || before(data, all.data()) || !before(data, all.data() + all.size())) return std::nullopt;
  return static_cast<std::uint64_t>(data - all.data());
}

const std::string& BundleStore::identity() const { return bundle_->file() ? bundle_->file()->identity() : bundle_->digest(); }

BundleStore::Use& BundleStore::use(Device& device) {
  const auto [at, fresh] = uses_.try_emplace(&device);
  Use& u = at->second;
  if (!fresh) return u;
  u.name = fmt::format("provider {}, device \"{}\"", device.provider().id(), device.info().uid);
  u.target = target_of(device);
  if (!u.target.ok()) {
    u.reason = u.target.status().text();
    return u;
  }
  for (const BundleTarget& t : bundle_->index().targets) {
    if (!t.same(*u.target)) continue;
    for (const BundleStored& s : t.stored) u.stored.insert_or_assign({s.kind, s.key}, &s);
  }
  if (u.stored.empty()) u.reason = difference(bundle_->index(), *u.target);
  return u;
}

std::optional<FileCache::Entry> BundleStore::find(Device& device, Kind kind, std::string_view key) {
  const BundleStored* found = nullptr;
  {
    std::lock_guard lock(mutex_);
    Use& u = use(device);
    const auto at = u.stored.find({kind, bundle_key(key)});
    if (at == u.stored.end()) {
      ++u.lacking[static_cast<int>(kind)];
      return std::nullopt;
    }
    found = at->second;
  }
  const std::span<const std::byte> bytes = bundle_->at(found->range);
  const bool whole = kind == Kind::packed || sha256(bytes) == found->hash;
  if (!whole) log_warn("artifact", "bundle{}: the artifact \"{}\" is damaged; its part is compiled again",
                        bundle_->file() ? " \"" + bundle_->file()->path() + "\"" : "", found->what);
  std::lock_guard lock(mutex_);
  Use& u = use(device);
  ++(whole ? u.taken : u.lacking)[static_cast<int>(kind)];
  if (!whole) return std::nullopt;
  return FileCache::Entry{bytes, bundle_->keep()};
}

void BundleStore::made(Device& device, Kind kind, std::string_view key, std::span<const std::byte> bytes, std::shared_ptr<const void> keep) {
  std::lock_guard lock(mutex_);
  const Use& u = use(device);
  if (!u.target.ok()) return;  // its reason is in the notes
  BundleMade m{*u.target, {kind, bundle_key(key), shortened(key), {}, kind == Kind::artifact ? sha256(bytes) : xxh128_hex(bytes)}, bytes, std::move(keep)};
  // Put twice under one key: the later one counts, as in a cache.
  const auto same = std::find_if(out_->begin(), out_->end(), [&](const BundleMade& o) {
    return o.stored.kind == kind && o.stored.key == m.stored.key && o.target.same(m.target);
  });
  if (same == out_->end()) out_->push_back(std::move(m));
  else *same = std::move(m);
}

std::vector<std::string> BundleStore::notes() const {
  std::vector<std::string> out;
  std::lock_guard lock(mutex_);
  for (const auto& [device, u] : uses_) {
    std::string text = fmt::format("bundle: {}: {} artifacts and {} packed weights were taken from it", u.name, u.taken[0], u.taken[1]);
    if (u.lacking[0] + u.lacking[1] > 0) {
      text += fmt::format(", {} and {} are not in it", u.lacking[0], u.lacking[1]);
      if (!u.reason.empty()) text += ": " + u.reason;
      else if (!u.stored.empty()) text += ": it was compiled with other options, /shapes, /session/optimize, placement or threads";
      text += "; they are made here";
    }
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace tenon
