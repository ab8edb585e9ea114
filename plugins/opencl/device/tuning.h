// Tuning: which of several ways of doing one piece of work was measured to be the fastest on this device.
//
// A table by key (what, types, sizes), kept in one small file beside the kernel cache. Owned by the device; locks; any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace tenon::opencl {

class Tuning {
 public:
  // folder: "" keeps it in the process. identity: device and driver; what others measured is not read.
  Tuning(std::string folder, const std::string& identity);

  // The measured choice, or -1.
  int find(const std::string& key) const;
  void put(const std::string& key, int choice);
  // Writes the file, atomically; what other processes have added meanwhile stays. Never throws: a table that is lost is measured again.
  void save() noexcept;

 private:
  void read();

  std::string file_;
  mutable std::mutex mutex_;
  std::map<std::string, int> choices_;
};

}  // namespace tenon::opencl
