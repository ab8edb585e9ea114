// LoadTask: what a provider may ask for while a session is loaded: constants, their hashes, packed weights.
//
// Packed weights of a file come from the bundle that the model is in, and from the cache on disk where the session has one, to which
// they go; so do artifacts, what providers want to find again. LoadContext belongs to the session and lives as long as it, because constants and packed weights do. A
// LoadTask is made per device and passed to query, compile and program_plan. Threads: all functions may be called by several
// at once, but begin_query and end_query.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/base/file_cache.h"
#include "core/graph/constant.h"
#include "core/provider/bundle_store.h"
#include "core/provider/provider.h"
#include "core/provider/task.h"

namespace tenon {

// Constants by id: everything that a provider was ever shown in this session.
class ConstantTable {
 public:
  void add(const ConstantPtr& constant);
  ConstantPtr find(std::uint64_t id) const;  // null when unknown
  // Those that were added after the first `known` ones, in order.
  std::vector<ConstantPtr> after(std::size_t known) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, ConstantPtr> constants_;
  std::vector<std::uint64_t> order_;
};

// One packed form, shared by sessions.
struct PackedWeight {
  tenon_address address{};
  std::shared_ptr<const void> memory;  // host buffer, mapped file or DeviceBuffer
};

struct LoadContext {
  ConstantTable constants;
  std::function<bool()> cancelled;        // may be empty
  std::function<void(double)> progress;   // may be empty
  std::shared_ptr<FileCache> cache;       // of packed weights and artifacts; null: none
  FileCache::Check check = FileCache::Check::header;
  std::unique_ptr<BundleStore> bundle;    // null: the model is in none, or what it stores may not be used
  std::chrono::nanoseconds query_limit = std::chrono::seconds(60);  // of one query of one device

  // Bytes of packed weights that this session holds.
  std::uint64_t packed_bytes() const;
  // Gives back what only the load needed. Called once, when all programs have been compiled.
  void finish();
  // What somebody else keeps for this session, such as its copy in a provider's process: made when it is first asked for, gone with
  // the context.
  std::shared_ptr<void> attached(const void* owner, const std::function<std::shared_ptr<void>()>& make);

 private:
  friend class LoadTask;
  struct Exposed {  // a constant as const_data gave it out
    std::shared_ptr<void> copy;  // aligned bytes, or the array of tenon_str
    tenon_const_tensor tensor{};
    ConstantPtr constant;
    bool busy = true;            // the copy is being made
    bool for_packing = true;     // nobody but pack functions has asked
    std::uint32_t packers = 0;   // pack functions that run and have asked
  };
  // Memory for aligned copies that only packing needs: used again, so that a load does not take and clear pages for each weight.
  struct Spare {
    std::shared_ptr<void> memory;
    std::uint64_t bytes = 0;
  };
  std::shared_ptr<void> copy_memory(std::uint64_t bytes);
  Result<std::shared_ptr<void>> aligned_copy(const Constant& constant);
  void drop(std::uint64_t const_id);  // with mutex_ held

  mutable std::mutex mutex_;
  std::condition_variable exposed_changed_;
  std::unordered_map<std::uint64_t, Exposed> exposed_;
  std::vector<Spare> spare_;
  std::unordered_map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> hashes_;
  std::vector<std::shared_ptr<const PackedWeight>> packed_;
  std::vector<FileCache::Entry> artifacts_;
  std::mutex attached_mutex_;
  std::unordered_map<const void*, std::shared_ptr<void>> attached_;
};

struct PackScope;  // load.cpp

class LoadTask : public tenon_task {
 public:
  LoadTask(LoadContext& context, DevicePtr device) : context_(context), device_(std::move(device)) {}

  bool cancelled() override { return query_over() || (context_.cancelled && context_.cancelled()); }
  std::chrono::nanoseconds begin_query() override {
    query_until_ = Clock::now() + context_.query_limit;
    return context_.query_limit;
  }
  bool end_query() override;
  // Type, dims and place of a constant: what names it in keys. Without a place in a file or a bundle that is its content, which is
  // read only where something outlives the process, a cache on disk or a bundle.
  Result<std::string> constant_identity(std::uint64_t const_id);
  // From now on artifact_get finds nothing: what it found did not fit.
  void forget_artifacts() { forgotten_ = true; }
  bool artifacts_forgotten() const { return forgotten_; }
  LoadContext& context() { return context_; }
  LoadTask* as_load() override { return this; }
  void progress(double fraction) override {
    Watch::progress();
    if (context_.progress) context_.progress(fraction);
  }
  Status const_data(std::uint64_t const_id, tenon_const_tensor* out) override;
  void const_release(std::uint64_t const_id) override;
  Status const_hash(std::uint64_t const_id, std::uint64_t out[2]) override;
  Status packed_weight(const tenon_pack_request& request, tenon_address* out) override;
  Status artifact_get(tenon_str key, const void** data, std::uint64_t* bytes) override;
  Status artifact_put(tenon_str key, const void* data, std::uint64_t bytes) override;

 private:
  using Exposed = LoadContext::Exposed;
  using Clock = std::chrono::steady_clock;
  bool query_over() const {
    const Clock::time_point until = query_until_.load(std::memory_order_relaxed);
    return until != Clock::time_point() && Clock::now() >= until;
  }
  Result<Exposed> expose(const ConstantPtr& constant);
  static void note_reader(Exposed& exposed, PackScope* scope, std::uint64_t const_id);
  Result<std::string> pack_key(const tenon_pack_request& request);
  Result<std::string> layout_key(const tenon_pack_request& request);
  Result<std::string> artifact_key(tenon_str key);
  Status run_pack(const tenon_pack_request& request, void* to);
  Result<std::shared_ptr<const PackedWeight>> make_packed(const tenon_pack_request& request);
  LoadContext& context_;
  DevicePtr device_;
  std::atomic<Clock::time_point> query_until_{};  // the epoch: no query is running
  std::atomic<bool> forgotten_{false};
};

}  // namespace tenon
