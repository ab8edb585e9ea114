// Dynlib: a shared library opened by its absolute path.
// Closed with the last holder; whoever must never unload keeps one holder for ever. Immutable; any thread.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"

namespace tenon {

class Dynlib {
 public:
  // Every symbol is resolved at once and none is shown to other libraries. Errors: NOT_FOUND when there is no such file,
  // MISSING_DEPENDENCY with the loader's own text.
  static Result<std::shared_ptr<Dynlib>> open(const std::string& path);
  // The library that the open file holds, such as a sealed copy of a file that stays where it is; `path` is what path() says.
  // The descriptor must stay open as long as the library: the loader knows it by that number. $ORIGIN means nothing there.
  static Result<std::shared_ptr<Dynlib>> open_copy(int fd, const std::string& path);
  // True if the system's loader finds a library of this name ("libfoo.so.1"); it is loaded and closed again.
  static bool available(const std::string& name);
  ~Dynlib();

  void* symbol(const char* name) const;  // null when absent
  const std::string& path() const { return path_; }

 private:
  struct Impl;
  Dynlib();
  std::unique_ptr<Impl> impl_;
  std::string path_;
};

// The canonical path of the library or executable that holds this code.
std::string own_library_path();
// True where environment variables and home folders must not be trusted (set-user-id and the like).
bool privileged_process();
// getenv, but "" when unset or when the process is privileged.
std::string trusted_env(const char* name);

}  // namespace tenon
