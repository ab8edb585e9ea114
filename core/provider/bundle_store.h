// BundleStore: what a bundle holds for the devices of a session, and what a session makes that a bundle shall hold.
//
// Belongs to a session's LoadContext. What was stored for another provider, version, library or device is passed over, and the reason is
// noted: its parts are compiled and its weights packed here. Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/bundle.h"
#include "core/base/file_cache.h"
#include "core/provider/provider.h"

namespace tenon {

// Something that a provider made and that is to be stored. bytes: as long as keep.
struct BundleMade {
  BundleTarget target;  // without `made` and `stored`
  BundleStored stored;  // without range
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keep;
};

class BundleStore {
 public:
  using Kind = BundleStored::Kind;
  // out (optional): where to put what is made; as long as this.
  BundleStore(std::shared_ptr<const Bundle> bundle, std::vector<BundleMade>* out) : bundle_(std::move(bundle)), out_(out) {}

  // Where in the bundle memory lies: the name of a constant that is the same on every machine. nullopt elsewhere.
  std::optional<std::uint64_t> offset_of(const std::byte* data) const;
  // Names this very file, so that what is cached on disk for it is taken for nothing else.
  const std::string& identity() const;
  // key: what it is asked for by. Artifacts are hashed first; what is damaged is not handed out, and said so.
  std::optional<FileCache::Entry> find(Device& device, Kind kind, std::string_view key);
  bool keeps() const { return out_ != nullptr; }
  // A provider made it in this session. REQUIRES keeps().
  void made(Device& device, Kind kind, std::string_view key, std::span<const std::byte> bytes, std::shared_ptr<const void> keep);

  // What was taken, what was not there, and why; for people. Asked once the session is loaded.
  std::vector<std::string> notes() const;

 private:
  struct Use {
    Result<BundleTarget> target{BundleTarget()};  // the device's own four names
    std::string name;                             // of the device, for people
    std::map<std::pair<Kind, std::string>, const BundleStored*> stored;
    std::string reason;                           // nothing fits: why not
    std::size_t taken[2] = {0, 0}, lacking[2] = {0, 0};  // by kind
  };
  Use& use(Device& device);  // with mutex_ held

  const std::shared_ptr<const Bundle> bundle_;
  std::vector<BundleMade>* const out_;
  mutable std::mutex mutex_;
  std::map<const Device*, Use> uses_;
};

}  // namespace tenon
