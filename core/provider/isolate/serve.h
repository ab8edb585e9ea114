// Server: the process of an isolated provider, from inside: it loads the library and answers what core asks over its channels.
//
// The provider gets what it would get in core's own process, made of the same code: loader, loads with constants, packed weights and
// artifacts, threads. One per process; a thread for each channel.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/file_map.h"
#include "core/provider/isolate/plan_wire.h"
#include "core/provider/isolate/protocol.h"
#include "core/provider/isolate/socket.h"
#include "core/provider/load.h"
#include "core/provider/provider.h"

namespace tenon::isolate {

struct ServedSession {
  LoadContext context;
  std::vector<std::shared_ptr<const FileMap>> files;
  std::once_flag finished;
};

struct ServedProgram {
  ~ServedProgram();
  // What one chosen claim does, for providers that have no program_plan.
  struct Claim {
    std::string name;
    std::vector<std::uint32_t> nodes, reads, writes;  // nodes and values of the graph
  };
  DevicePtr device;
  std::shared_ptr<ServedSession> session;
  tenon_program* handle = nullptr;
  std::uint32_t inputs = 0;
  std::vector<std::uint32_t> values;  // of the boundary, by operand
  std::vector<std::int32_t> dtypes;
  std::vector<Claim> claims;
};

struct ServedPlan {
  ~ServedPlan();
  std::shared_ptr<ServedProgram> program;
  tenon_plan* handle = nullptr;
  std::uint32_t max_workers = 1;
  PlanValues values;
  std::vector<bool> spmd;  // by step
};

struct ServedBinding {
  ~ServedBinding();
  void unbind();
  std::shared_ptr<ServedPlan> plan;
  SharedMemory memory;
  std::vector<Place> places;
  std::vector<tenon_address> addresses;
  std::map<std::uint32_t, std::vector<std::string>> strings;  // by operand
  tenon_binding* handle = nullptr;
  tenon_stream* stream = nullptr;
};

// The other end of a channel.
struct ServedChannel {
  ServedChannel(Fd fd, SharedMemory p) : socket(std::move(fd)), page(std::move(p)) {}
  Page& shared() { return *reinterpret_cast<Page*>(page.data()); }
  Socket socket;
  SharedMemory page, memory;  // memory: what bytes of the host go through
};

class Server {
 public:
  // Answers until control closes or the parent ends; does not return.
  [[noreturn]] void run();

 private:
  template <class T>
  using Numbered = std::map<std::uint64_t, std::shared_ptr<T>>;
  template <class T>
  Result<std::shared_ptr<T>> find(Numbered<T>& in, std::uint64_t number, const char* what);
  template <class T>
  void keep(Numbered<T>& in, std::uint64_t number, std::shared_ptr<T> object);
  template <class T>
  void end(Numbered<T>& in, std::uint64_t number);

  void serve(ServedChannel& channel);
  Status answer(Ask ask, Reader& in, std::vector<Fd>& fds, ServedChannel& channel, Writer& out);

  // serve.cpp
  Status load(Reader& in, Writer& out);
  Status infer(Reader& in, Writer& out);
  Status begin_session(Reader& in);
  Status add_constants(Reader& in, std::vector<Fd>& fds);
  void close();
  // serve_program.cpp
  Status query(Reader& in, ServedChannel& channel, Writer& out);
  Status compile(Reader& in, ServedChannel& channel);
  Status plan(Reader& in, ServedChannel& channel, Writer& out);
  Status resize(Reader& in, ServedChannel& channel);
  // serve_run.cpp
  Status execute(Reader& in, std::vector<Fd>& fds, ServedChannel& channel, Writer& out);
  Status rebind(ServedBinding& binding, Reader& in, std::vector<Fd>& fds);
  Status allocate(Reader& in);
  Status copy(Reader& in, std::vector<Fd>& fds, ServedChannel& channel);

  std::mutex mutex_;
  ProviderPtr provider_;
  DevicePtr device_;
  Numbered<ServedSession> sessions_;
  Numbered<DeviceBuffer> buffers_;
  Numbered<ServedProgram> programs_;
  Numbered<ServedPlan> plans_;
  Numbered<ServedBinding> bindings_;
  std::mutex copy_mutex_;
  tenon_stream* copy_stream_ = nullptr;  // where the device has streams
};

// A load of one call: what core says through the page of the channel holds as well.
class ServedLoad final : public LoadTask {
 public:
  ServedLoad(LoadContext& context, DevicePtr device, Page& page) : LoadTask(context, std::move(device)), page_(page) {}
  bool cancelled() override { return page_.cancelled.load(std::memory_order_relaxed) != 0 || LoadTask::cancelled(); }
  void progress(double fraction) override {
    if (fraction >= 0 && fraction <= 1) page_.progress.store(static_cast<std::uint32_t>(fraction * 1e6), std::memory_order_relaxed);
  }

 private:
  Page& page_;
};

template <class T>
Result<std::shared_ptr<T>> Server::find(Numbered<T>& in, std::uint64_t number, const char* what) {
  std::lock_guard lock(mutex_);
  const auto found = in.find(number);
  if (found == in.end()) return internal("its process has no {} {}", what, number);
  return found->second;
}
template <class T>
void Server::keep(Numbered<T>& in, std::uint64_t number, std::shared_ptr<T> object) {
  std::lock_guard lock(mutex_);
  in[number] = std::move(object);
}
// The object goes after the lock has been given back: its end may take time.
template <class T>
void Server::end(Numbered<T>& in, std::uint64_t number) {
  typename Numbered<T>::node_type gone;
  std::lock_guard lock(mutex_);
  gone = in.extract(number);
}

}  // namespace tenon::isolate
