// Device: one OpenCL device in use: context, queues, memory domain, kernels.
//
// Opened once per process by provider.cpp and shared by all sessions. Immutable apart from the kernel cache, which locks.
// Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "plugins/opencl/device/kernels.h"
#include "plugins/opencl/device/select.h"
#include "plugins/opencl/device/tuning.h"
#include "plugins/opencl/host.h"

namespace tenon::opencl {

// What create was given.
struct DeviceOptions {
  std::string device = "any";   // which one, see select.h
  std::string memory = "auto";  // auto, host, device: where operands live
  std::string profile = "auto"; // auto, cpu, gpu: which kind of kernels is generated
  std::string cache;            // folder of built kernels; "": none
  std::int64_t cache_bytes = 256 << 20;
  bool tune = false;            // measure variants of heavy kernels in the second run of a plan

  bool operator==(const DeviceOptions&) const = default;
};

// Releases an OpenCL object with the function of its table.
template <class T>
class Handle {
 public:
  using Release = cl_int (*)(T);
  Handle() = default;
  Handle(T handle, Release release) : handle_(handle), release_(release) {}
  Handle(Handle&& o) noexcept : handle_(std::exchange(o.handle_, nullptr)), release_(o.release_) {}
  Handle& operator=(Handle&& o) noexcept {
    std::swap(handle_, o.handle_);
    std::swap(release_, o.release_);
    return *this;
  }
  ~Handle() {
    if (handle_) release_(handle_);
  }
  T get() const { return handle_; }
  T release() { return std::exchange(handle_, nullptr); }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  T handle_ = nullptr;
  Release release_ = nullptr;
};
using MemHandle = Handle<cl_mem>;
using QueueHandle = Handle<cl_command_queue>;
using KernelHandle = Handle<cl_kernel>;

class Device {
 public:
  // Throws Failure: the driver's reason.
  Device(Host host, std::shared_ptr<const Api> api, Candidate candidate, const DeviceOptions& options);
  ~Device();
  Device(const Device&) = delete;

  Host host;
  std::shared_ptr<const Api> api;
  Candidate candidate;
  Profile profile;       // the candidate's, with what the options change
  cl_context context = nullptr;
  bool host_memory;      // operands are host pointers that kernels work on in place
  std::unique_ptr<Kernels> kernels;
  std::unique_ptr<Tuning> tuning;
  bool tunes;            // measures what tuning lacks

  // A new in-order queue. Throws Failure.
  QueueHandle make_queue() const;
  // Memory of the device's own. Throws Failure: RESOURCE_EXHAUSTED.
  MemHandle allocate(std::uint64_t bytes) const;
  // Host memory as kernels see it, without a copy; the memory must outlive the handle.
  MemHandle wrap(void* data, std::uint64_t bytes) const;
  // For work without a stream: one queue, used under its lock.
  cl_command_queue own_queue() const { return queue_.get(); }
  std::mutex& own_queue_lock() const { return queue_lock_; }

 private:
  QueueHandle queue_;
  mutable std::mutex queue_lock_;
};

// True where kernels can work on host memory in place and both sides see each other's writes without being told.
bool shares_host_memory(const Profile& profile, const DeviceOptions& options);

}  // namespace tenon::opencl
