// worker_pool: jobs in processes of their own, so that one that crashes or hangs is a result with a name and no end of the run.
// Used by one thread, in a process that has no other threads yet: workers are forked.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

namespace tenon::corpus {

struct WorkerPool {
  std::size_t workers = 1;
  std::chrono::seconds limit{300};  // of one job

  // Runs job(0) to job(count - 1) in the workers and done(index, text, seconds) here as they end; text is what the job returned,
  // or how its worker died. Returns how workers died that had no job ("" if none did): leaks are found when a process ends.
  std::string run(std::size_t count, const std::function<std::string(std::size_t)>& job,
                  const std::function<void(std::size_t, const std::string&, double)>& done) const;
};

}  // namespace tenon::corpus
