// Link: one device of an isolated provider, over all the processes that serve it one after the other.
//
// A process that ended is replaced when the next call wants one; what was made in it is made again by who holds it, which sees that
// from the generation. Too many ends in a row are the end. Shared by all that is made on the device; any thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/provider/isolate/peer.h"
#include "core/provider/load.h"
#include "core/provider/manifest.h"
#include "core/provider/provider.h"
#include "core/provider/trust.h"

namespace tenon::isolate {

// What every process of a provider is started with.
struct Launch {
  std::string manifest, library, id;
  std::string sha256_of_manifest, sha256;
  bool require_pinned = false;
  std::string options;
  std::chrono::milliseconds limit{0};
};

// What a process says of the provider once it has loaded and created it.
struct Description {
  LoadedLibrary library;  // without its table
  std::uint64_t features = 0;
  std::uint32_t has = 0;
  std::vector<DeviceInfo> devices;
  std::vector<std::byte> schemas;  // of its own operators, see read_schema; empty: none
};

struct RemoteSession;

class Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(Launch launch) : launch_(std::move(launch)) {}
  ~Link();  // takes down what the process has, then the process

  // The process, started where there is none. Errors: those of starting it; DEVICE_LOST after too many ends in a row.
  Result<std::shared_ptr<Peer>> peer();
  // From now on every process opens this device.
  Status open(std::uint32_t index, std::string name);
  // A call went well that says something of the provider's health: the count of ends begins anew.
  void well() { ends_ = 0; }
  // The process that is there, if it is alive.
  std::shared_ptr<Peer> current();
  const Description& description() const { return *description_; }
  // What the session of this load is in the process; the same for all loads of a session.
  std::shared_ptr<RemoteSession> session(LoadTask& load);
  std::uint64_t number() { return ++numbers_; }
  const std::string& name() const { return name_; }

 private:
  Status load(Peer& peer);
  Status open_device(Peer& peer, std::uint32_t index);

  const Launch launch_;
  std::mutex mutex_;
  std::shared_ptr<Peer> peer_;
  std::optional<std::uint32_t> index_;
  std::string name_;
  std::optional<Description> description_;
  std::uint64_t generation_ = 0;
  std::atomic<std::uint64_t> numbers_{0};
  std::atomic<int> ends_{0};  // processes started since a call went well
};

// A session as the process sees it: its constants and its cache.
struct RemoteSession {
  RemoteSession(std::shared_ptr<Link> l, LoadContext& c) : link(std::move(l)), context(c), number(link->number()) {}
  ~RemoteSession();
  // Tells the process of the session, and of what has been shown since.
  Status ready(Peer& peer);

  std::shared_ptr<Link> link;
  LoadContext& context;  // outlives this
  const std::uint64_t number;

 private:
  std::mutex mutex_;
  std::uint64_t generation_ = 0;
  std::size_t told_ = 0;
  std::unordered_map<const FileMap*, std::uint32_t> files_;
};

// From and to the process.
bool read_description(Reader& in, Description& out);
void write_description(Writer& out, const Provider& provider);

}  // namespace tenon::isolate
