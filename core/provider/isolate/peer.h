// Peer: a running process of an isolated provider, asked over as many channels as calls are made at once.
//
// Once it has ended, or was ended because it hung or answered nonsense, every call fails with the reason; a Link starts the next
// one. Shared; any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/provider/isolate/process.h"
#include "core/provider/isolate/protocol.h"
#include "core/provider/isolate/socket.h"
#include "core/provider/isolate/wire.h"
#include "core/provider/task.h"

namespace tenon::isolate {

// What is asked, and what the asker has to say of it.
struct Request {
  Ask ask;
  std::string what;            // "compile of 3 nodes": for errors
  tenon_task* task = nullptr;  // whose end is told to the provider, and who hears of its progress
  std::vector<int> fds = {};   // borrowed
};

class Peer {
 public:
  // topic: of what the process prints. limit: of one call without a sign of life; 0: none.
  static Result<std::shared_ptr<Peer>> start(std::string topic, std::chrono::milliseconds limit);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Returns when there is an answer or there will be none. take reads the answer of a call that succeeded and says whether it was
  // what the protocol says; its errors are returned. Errors: the provider's; UNAVAILABLE: the process ended; DEADLINE_EXCEEDED: it
  // was ended, as it did not answer; INTERNAL: it answered nonsense and was ended.
  Status call(const Request& request, const Writer& body, const std::function<Status(Reader&)>& take = {});
  // The same, where bytes go through memory that the channel keeps: before the call they are at `memory`, and after it there.
  Status call_with_memory(const Request& request, const std::function<Status(Writer&, SharedMemory&, std::vector<int>&)>& give,
                          const std::function<Status(Reader&, SharedMemory&)>& take);
  bool alive();
  // REQUIRES that it is not: "its process was killed by SIGSEGV (invalid memory access)".
  std::string end();
  pid_t pid() const { return process_.pid(); }

  std::uint64_t generation = 0;  // counts the processes of one Link

 private:
  struct Channel {
    Channel(Socket s, SharedMemory p) : socket(std::move(s)), page(std::move(p)) {}
    Page& shared() { return *reinterpret_cast<Page*>(page.data()); }
    Socket socket;
    SharedMemory page, memory;
  };
  Peer(std::string topic, std::chrono::milliseconds limit, Socket control, Fd log, Process process);
  Result<std::unique_ptr<Channel>> channel();
  Status exchange(Channel& channel, const Request& request, const Writer& body, Message& answer);
  Status gone(const Request& request);
  Status finish(std::int32_t code, const Request& request, const std::string& reason);
  void forward_log();

  const std::string topic_;
  const std::chrono::milliseconds limit_;
  const pid_t owner_;
  std::mutex mutex_;
  Socket control_;
  Fd log_;
  Process process_;
  std::atomic<bool> dead_{false};
  std::string ended_;  // why it was ended, or how it ended
  std::vector<std::unique_ptr<Channel>> idle_;
};

}  // namespace tenon::isolate
