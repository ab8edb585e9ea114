#include "core/base/dynlib.h"

#ifndef BOOST_DLL_USE_STD_FS
#define BOOST_DLL_USE_STD_FS
#endif
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>

#include <boost/dll/shared_library.hpp>
#include <dlfcn.h>
#include <sys/auxv.h>

namespace tenon {

struct Dynlib::Impl {
  boost::dll::shared_library library;
};

Dynlib::Dynlib() : impl_(new Impl) {}
Dynlib::~Dynlib() = default;

Result<std::shared_ptr<Dynlib>> Dynlib::open(const std::string& path) {
  std::error_code code;
  const std::filesystem::path real = std::filesystem::canonical(path, code);
  if (code) return error(TENON_NOT_FOUND, "library \"{}\": {}", path, code.message());
  std::shared_ptr<Dynlib> lib(new Dynlib);
  lib->path_ = real.string();
  try {
    lib->impl_->library.load(real, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const std::exception& e) {
    return error(TENON_MISSING_DEPENDENCY, "library \"{}\" cannot be loaded: {}", lib->path_, e.what());
  }
  return lib;
}

Result<std::shared_ptr<Dynlib>> Dynlib::open_copy(int fd, const std::string& path) {
  std::shared_ptr<Dynlib> lib(new Dynlib);
  lib->path_ = path;
  try {
    lib->impl_->library.load("/proc/self/fd/" + std::to_string(fd), boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const std::exception& e) {
    return error(TENON_MISSING_DEPENDENCY, "library \"{}\" cannot be loaded from a copy: {}", path, e.what());
  }
  return lib;
}

bool Dynlib::available(const std::string& name) {
  // What was found once is not opened again: some libraries take milliseconds.
  static std::mutex mutex;
  static auto* found = new std::set<std::string>;
  {
    std::lock_guard lock(mutex);
    if (found->contains(name)) return true;
  }
  void* handle = ::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!handle) return false;
  ::dlclose(handle);
  std::lock_guard lock(mutex);
  found->insert(name);
  return true;
}

void* Dynlib::symbol(const char* name) const { return ::dlsym(impl_->library.native(), name); }

std::string own_library_path() {
  Dl_info info{};
  if (!::dladdr(reinterpret_cast<const void*>(&own_library_path), &info) || !info.dli_fname) return "";
  std::error_code code;
  // An executable's name may be relative or bare; the kernel knows better.
  std::filesystem::path path = std::filesystem::canonical(info.dli_fname, code);
  if (code) path = std::filesystem::canonical("/proc/self/exe", code);
  return code ? "" : path.string();
}

bool privileged_process() {
  static const bool privileged = ::getauxval(AT_SECURE) != 0;
  return privileged;
}

std::string trusted_env(const char* name) {
  const char* value = privileged_process() ? nullptr : ::getenv(name);
  return value ? value : "";
}

}  // namespace tenon
