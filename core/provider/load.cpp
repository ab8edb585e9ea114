#include "core/provider/load.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/file_map.h"
#include "core/base/log.h"
#include "core/base/pages.h"
#include "core/provider/host.h"

namespace tenon {

void ConstantTable::add(const ConstantPtr& constant) {
  std::lock_guard lock(mutex_);
  if (constants_.emplace(constant->id, constant).second) order_.push_back(constant->id);
}

std::vector<ConstantPtr> ConstantTable::after(std::size_t known) const {
  std::lock_guard lock(mutex_);
  std::vector<ConstantPtr> out;
  for (; known < order_.size(); ++known) out.push_back(constants_.at(order_[known]));
  return out;
}

ConstantPtr ConstantTable::find(std::uint64_t id) const {
  std::lock_guard lock(mutex_);
  auto it = constants_.find(id);
  return it == constants_.end() ? nullptr : it->second;
}

std::uint64_t LoadContext::packed_bytes() const {
  std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& p : packed_) bytes += p->address.bytes;
  return bytes;
}

namespace {

constexpr std::uint64_t read_from = 65536;                     // bytes of a constant that are worth a system call of their own
constexpr std::uint64_t spare_bytes = std::uint64_t{12} << 20;  // of all copies that are kept for the next constants
constexpr std::uint64_t cached_from = 32768;                   // bytes of a packed form that are worth a file

Status unknown(std::uint64_t id) { return error(TENON_NOT_FOUND, "there is no constant {} in this session", id); }

// Packed forms of all sessions: one per key, made by the first who asks, alive as long as any session holds it.
struct PackedStore {
  struct Slot {
    bool busy = false;
    std::weak_ptr<const PackedWeight> made;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Slot> slots;
};
PackedStore& store() {
  static PackedStore* made = new PackedStore;  // sessions may outlive static destructors
  return *made;
}

}  // namespace

// The pack function that runs on this thread: what it reads of constants is given back when it has returned, so that a
// model's weights are in memory once, not mapped, aligned and packed at the same time.
struct PackScope {
  explicit PackScope(const LoadContext* c) : context(c), outer(now) { now = this; }
  ~PackScope() { now = outer; }
  PackScope(const PackScope&) = delete;

  const LoadContext* context;
  std::vector<std::uint64_t> read;
  PackScope* outer;
  static thread_local PackScope* now;
};
thread_local PackScope* PackScope::now = nullptr;

std::shared_ptr<void> LoadContext::copy_memory(std::uint64_t bytes) {
  {
    std::lock_guard lock(mutex_);
    const auto fits = [&](const Spare& s) { return s.bytes >= bytes && s.bytes / 2 <= bytes; };
    if (const auto found = std::find_if(spare_.begin(), spare_.end(), fits); found != spare_.end()) {
      std::shared_ptr<void> memory = std::move(found->memory);
      spare_.erase(found);
      return memory;
    }
    // The new one will do for those that are a little too small; those that are far too large would lie beside it unused, as
    // providers begin with the largest.
    std::erase_if(spare_, [&](const Spare& s) { return s.bytes < bytes ? s.bytes >= bytes / 2 : s.bytes / 2 > bytes; });
  }
  return large_memory(bytes);
}

Result<std::shared_ptr<void>> LoadContext::aligned_copy(const Constant& c) {
  std::shared_ptr<void> copy = copy_memory(c.bytes);
  if (!copy) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a copy of a constant of {} bytes", c.bytes);
  TENON_TRY(copy_bytes(c, static_cast<std::byte*>(copy.get())));
  return copy;
}

void LoadContext::drop(std::uint64_t id) {
  auto it = exposed_.find(id);
  if (it == exposed_.end()) return;
  const ConstantPtr c = it->second.constant;
  if (std::shared_ptr<void>& copy = it->second.copy; copy && c->bytes >= read_from && c->bytes <= spare_bytes) {
    spare_.push_back({std::move(copy), c->bytes});
    std::uint64_t kept = 0;
    for (const Spare& s : spare_) kept += s.bytes;
    // The oldest go: models have weights of one size together.
    for (; kept > spare_bytes; spare_.erase(spare_.begin())) kept -= spare_.front().bytes;
  }
  exposed_.erase(it);
  // Clean pages of the mapping go back to the system; they are read again if anyone asks.
  if (c && c->mapped && c->bytes >= read_from) forget_pages(c->data, c->bytes);
}

void LoadContext::finish() {
  {
    std::lock_guard lock(mutex_);
    spare_.clear();
    artifacts_.clear();
  }
  if (cache) cache->trim();
}

std::shared_ptr<void> LoadContext::attached(const void* owner, const std::function<std::shared_ptr<void>()>& make) {
  std::lock_guard lock(attached_mutex_);
  std::shared_ptr<void>& slot = attached_[owner];
  if (!slot) slot = make();
  return slot;
}

Status LoadTask::const_data(std::uint64_t id, tenon_const_tensor* out) {
  const ConstantPtr c = context_.constants.find(id);
  if (!c) return unknown(id);
  PackScope* scope = PackScope::now;
  if (scope && scope->context != &context_) scope = nullptr;
  std::unique_lock lock(context_.mutex_);
  for (;;) {
    const auto [it, fresh] = context_.exposed_.try_emplace(id);
    if (fresh) break;
    if (!it->second.busy) {
      note_reader(it->second, scope, id);
      *out = it->second.tensor;
      return {};
    }
    context_.exposed_changed_.wait(lock);
  }
  lock.unlock();  // other constants are not kept waiting
  Result<Exposed> made = expose(c);
  lock.lock();
  if (!made.ok()) context_.exposed_.erase(id);
  else note_reader(context_.exposed_[id] = *std::move(made), scope, id), *out = context_.exposed_[id].tensor;
  context_.exposed_changed_.notify_all();
  return std::move(made.status());
}

Result<LoadTask::Exposed> LoadTask::expose(const ConstantPtr& c) {
  Exposed e;
  tenon_const_tensor t{};
  t.struct_size = sizeof t;
  t.dtype = c->dtype;
  t.dims = c->dims.data();
  t.rank = c->dims.size();
  t.data = c->data;
  t.bytes = c->bytes;
  if (c->dtype == TENON_DTYPE_STRING) {
    t.bytes = c->strings.size() * sizeof(tenon_str);
    e.copy = large_memory(t.bytes);
    if (!e.copy) return error(TENON_RESOURCE_EXHAUSTED, "no memory for {} strings", c->strings.size());
    auto* strings = static_cast<tenon_str*>(e.copy.get());
    for (std::size_t i = 0; i < c->strings.size(); ++i) strings[i] = str(c->strings[i]);
    t.data = strings;
  } else if (c->bytes && (c->recipe || reinterpret_cast<std::uintptr_t>(c->data) % 64 != 0)) {
    TENON_SET(e.copy, context_.aligned_copy(*c));
    t.data = e.copy.get();
  }
  e.tensor = t;
  e.constant = c;
  e.busy = false;
  return e;
}

// With the lock held: who reads it decides when it may go.
void LoadTask::note_reader(Exposed& e, PackScope* scope, std::uint64_t id) {
  if (!scope) {
    e.for_packing = false;
  } else if (std::find(scope->read.begin(), scope->read.end(), id) == scope->read.end()) {
    scope->read.push_back(id);
    ++e.packers;
  }
}

void LoadTask::const_release(std::uint64_t id) {
  std::lock_guard lock(context_.mutex_);
  auto it = context_.exposed_.find(id);
  if (it != context_.exposed_.end() && !it->second.busy && it->second.packers == 0) context_.drop(id);
}

Status LoadTask::run_pack(const tenon_pack_request& request, void* to) {
  PackScope scope(&context_);
  Status status = take_status(request.pack(request.context, to, request.bytes));
  std::lock_guard lock(context_.mutex_);
  for (std::uint64_t id : scope.read) {
    LoadContext::Exposed& e = context_.exposed_[id];
    if (--e.packers == 0 && e.for_packing) context_.drop(id);
  }
  return status;
}

Status LoadTask::const_hash(std::uint64_t id, std::uint64_t out[2]) {
  const ConstantPtr c = context_.constants.find(id);
  if (!c) return unknown(id);
  {
    std::lock_guard lock(context_.mutex_);
    if (auto it = context_.hashes_.find(id); it != context_.hashes_.end()) {
      out[0] = it->second.first, out[1] = it->second.second;
      return {};
    }
  }
  XXH128_hash_t h{};
  if (c->dtype == TENON_DTYPE_STRING) {
    std::string all;
    for (const std::string& s : c->strings) all += std::to_string(s.size()) + ":" + s;
    h = XXH3_128bits(all.data(), all.size());
  } else {
    TENON_ASSIGN(const ConstantPtr made, with_bytes(c));
    h = XXH3_128bits(made->data, made->bytes);
  }
  std::lock_guard lock(context_.mutex_);
  context_.hashes_[id] = {h.low64, h.high64};
  out[0] = h.low64, out[1] = h.high64;
  return {};
}

// Names the packed form: provider and its version, device, layout, and the constants by where they come from (a place in a
// file) or, for those made at load, by their process-wide id.
Result<std::string> LoadTask::pack_key(const tenon_pack_request& request) {
  const Provider& provider = device_->provider();
  std::string key = fmt::format("{}\n{}\n{}\n{}\n{}", provider.id(), provider.version(), device_->info().uid, request.domain, view(request.layout_id));
  if (request.const_count > 4096 || (request.const_count && !request.const_ids)) return invalid("packed_weight: {} constants", request.const_count);
  for (std::uint64_t i = 0; i < request.const_count; ++i) {
    const ConstantPtr c = context_.constants.find(request.const_ids[i]);
    if (!c) return unknown(request.const_ids[i]);
    if (const std::string place = place_of(*c); place.empty()) key += fmt::format("\n#{}", c->id);
    else key += fmt::format("\n{}:{}", place, dims_text(c->dims));
  }
  return key;
}

// Names the packed form for other processes, where ids mean nothing: constants that are in no file are named by their content. Whose it
// is says artifact_key, by the very library, as one that was built again may pack otherwise under the same version.
Result<std::string> LoadTask::layout_key(const tenon_pack_request& request) {
  std::string key = fmt::format("packed {} {}", view(request.layout_id), request.bytes);
  for (std::uint64_t i = 0; i < request.const_count; ++i) {
    TENON_ASSIGN(const std::string identity, constant_identity(request.const_ids[i]));
    key += "\n" + identity;
  }
  return key;
}

Result<std::string> LoadTask::constant_identity(std::uint64_t id) {
  const ConstantPtr c = context_.constants.find(id);
  if (!c) return unknown(id);
  const std::string type = fmt::format("{}{}", dtype_name(c->dtype), dims_text(c->dims));
  if (context_.bundle) {
    if (const auto at = context_.bundle->offset_of(c->data)) return fmt::format("{} bundle@{}+{}", type, *at, c->bytes);
  } else {
    if (const std::string place = place_of(*c); !place.empty()) return fmt::format("{} {}", type, place);
    if (!context_.cache) return fmt::format("{} #{}", type, c->id);
  }
  std::uint64_t hash[2];
  TENON_TRY(const_hash(id, hash));
  return fmt::format("{} {:016x}{:016x}", type, hash[1], hash[0]);
}

Result<std::string> LoadTask::artifact_key(tenon_str key) {
  const Provider& provider = device_->provider();
  TENON_ASSIGN(const std::string fingerprint, device_->fingerprint());
  std::string full = fmt::format("{} {}\n{}\n{}\n{}", provider.id(), provider.version(), provider.library_identity(), fingerprint, view(key));
  // Keys that say "bundle" speak of this one.
  if (context_.bundle) full += "\nin " + context_.bundle->identity();
  return full;
}

Result<std::shared_ptr<const PackedWeight>> LoadTask::make_packed(const tenon_pack_request& request) {
  if (!request.pack) return invalid("packed_weight: no pack function");
  auto made = std::make_shared<PackedWeight>();
  const auto& domains = device_->info().domains;
  if (request.domain >= domains.size()) return invalid("packed_weight: domain {} of {}", request.domain, domains.size());
  const bool kept = domains[request.domain].host() && request.bytes >= cached_from && request.alignment <= 4096;
  BundleStore* bundle = kept ? context_.bundle.get() : nullptr;
  FileCache* cache = kept ? context_.cache.get() : nullptr;
  std::string layout, key;
  if (bundle || cache) {
    TENON_SET(layout, layout_key(request));
    const auto fits = [&](const std::optional<FileCache::Entry>& e) {
      return e && e->bytes.size() == request.bytes && reinterpret_cast<std::uintptr_t>(e->bytes.data()) % std::max<std::uint64_t>(request.alignment, 1) == 0;
    };
    std::optional<FileCache::Entry> found = bundle ? bundle->find(*device_, BundleStored::Kind::packed, layout) : std::nullopt;
    if (!fits(found) && cache) {
      TENON_SET(key, artifact_key({layout.data(), layout.size()}));
      found = cache->get(key, context_.check);
    }
    if (fits(found)) {
      made->address = {const_cast<std::byte*>(found->bytes.data()), 0, request.bytes};
      made->memory = std::move(found->keep);
      return std::shared_ptr<const PackedWeight>(std::move(made));
    }
  }
  std::shared_ptr<void> host = large_memory(request.bytes, request.alignment);
  if (!host) return error(TENON_RESOURCE_EXHAUSTED, "no memory for a packed weight of {} bytes", request.bytes);
  TENON_TRY(run_pack(request, host.get()));
  prefer_large_pages(host.get(), request.bytes);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(host.get()), request.bytes);
  if (cache) cache->put(key, bytes);
  if (bundle && bundle->keeps()) bundle->made(*device_, BundleStored::Kind::packed, layout, bytes, host);
  if (domains[request.domain].host()) {
    made->address = {host.get(), 0, request.bytes};
    made->memory = std::move(host);
    return std::shared_ptr<const PackedWeight>(std::move(made));
  }
  TENON_ASSIGN(auto buffer, device_->alloc(request.domain, request.bytes, request.alignment));
  const int route = device_->route(TENON_ROUTE_HOST, request.domain);
  if (route < 0) return internal("device \"{}\" has no route from the host", device_->info().name);
  TENON_TRY(device_->copy(static_cast<std::uint32_t>(route), nullptr, buffer->address(), {host.get(), 0, request.bytes}, request.bytes));
  made->address = buffer->address();
  made->memory = std::move(buffer);
  return std::shared_ptr<const PackedWeight>(std::move(made));
}

Status LoadTask::packed_weight(const tenon_pack_request& request, tenon_address* out) {
  TENON_ASSIGN(const std::string key, pack_key(request));
  PackedStore& all = store();
  std::shared_ptr<const PackedWeight> packed;
  {
    std::unique_lock lock(all.mutex);
    for (;;) {
      PackedStore::Slot& slot = all.slots[key];
      if ((packed = slot.made.lock())) break;
      if (!slot.busy) {
        slot.busy = true;
        break;
      }
      all.changed.wait(lock);
    }
  }
  if (!packed) {
    Result<std::shared_ptr<const PackedWeight>> made = make_packed(request);
    std::lock_guard lock(all.mutex);
    PackedStore::Slot& slot = all.slots[key];
    slot.busy = false;
    if (made.ok()) slot.made = packed = *made;
    else all.slots.erase(key);
    all.changed.notify_all();
    if (!made.ok()) return std::move(made.status());
  }
  *out = packed->address;
  std::lock_guard lock(context_.mutex_);
  context_.packed_.push_back(std::move(packed));
  return {};
}

bool LoadTask::end_query() {
  const bool over = query_over();
  query_until_ = Clock::time_point();
  return !over;
}

Status LoadTask::artifact_get(tenon_str key, const void** data, std::uint64_t* bytes) {
  if (forgotten_) return error(TENON_NOT_FOUND, "artifact_get: what is stored was found not to fit");
  if (!context_.cache && !context_.bundle) return error(TENON_NOT_FOUND, "artifact_get: this session has no cache (session.cache), and its model is in no bundle");
  std::optional<FileCache::Entry> found = context_.bundle ? context_.bundle->find(*device_, BundleStored::Kind::artifact, view(key)) : std::nullopt;
  if (!found && context_.cache) {
    TENON_ASSIGN(const std::string full, artifact_key(key));
    found = context_.cache->get(full, FileCache::Check::content);
  }
  log_debug("artifact", "provider {}: {} {}", device_->provider().id(), view(key), found ? "is stored" : "is not stored");
  if (!found) return error(TENON_NOT_FOUND, "artifact_get: nothing is stored under this key");
  *data = found->bytes.data(), *bytes = found->bytes.size();
  std::lock_guard lock(context_.mutex_);
  context_.artifacts_.push_back(*std::move(found));
  return {};
}

Status LoadTask::artifact_put(tenon_str key, const void* data, std::uint64_t bytes) {
  if (bytes && !data) return invalid("artifact_put: no data");
  if (context_.bundle && context_.bundle->keeps()) {
    const auto* from = static_cast<const std::byte*>(data);
    auto copy = std::make_shared<const std::vector<std::byte>>(from, from + bytes);
    context_.bundle->made(*device_, BundleStored::Kind::artifact, view(key), *copy, copy);
  }
  if (!context_.cache) return {};
  TENON_ASSIGN(const std::string full, artifact_key(key));
  context_.cache->put(full, {static_cast<const std::byte*>(data), bytes});
  return {};
}

}  // namespace tenon
