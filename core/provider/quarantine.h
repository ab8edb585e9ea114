// Quarantine: what became of libraries that were tried out in a process of their own, kept between processes.
//
// A bounded cache (base/file_cache) of one small JSON record a library in a folder of the user's ("${XDG_CACHE_HOME}/tenon/providers").
// A record speaks of one build: another identity (file_identity) and other bytes, and it counts no more. Without a folder that
// only the user can write, records live as long as the process. Any thread, any number of processes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/file_cache.h"
#include "core/base/status.h"

namespace tenon {

class Quarantine {
 public:
  // folder: "" the user's; it is made when something is to be written.
  explicit Quarantine(std::string folder = "");

  struct Record {
    std::string library, identity, sha256;
    bool passed = false;
    std::string reason;  // what it did, where it did not pass
  };
  // The record of this very build of the library; nullopt where there is none.
  std::optional<Record> find(const std::string& library) const;
  void passed(const std::string& library);
  void failed(const std::string& library, const std::string& reason);
  // True: there was a record of a library that did not pass, and it is gone.
  bool forget(const std::string& library);

  const std::string& folder() const { return folder_; }

 private:
  std::string key_of(const std::string& library) const;
  std::shared_ptr<FileCache> store(bool make) const;
  void write(Record record) const;
  std::string folder_;
};

// The error of a library in quarantine: what it did and how to get it out. id: as its manifest has it.
Status quarantined(const std::string& id, const Quarantine::Record& record);

}  // namespace tenon
