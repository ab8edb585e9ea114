// Kernels: everything this device has built: kernel texts in, built programs out, kept in the process and on disk.
//
// All texts that one plan still lacks are built as one program, since a build costs a second on some drivers. On disk a program's
// file is named by the sha256 of device, driver and build options and that of its source, and begins with the names of its kernels,
// which are sha256 of their texts: a plan takes each kernel from whatever file has it. It is written once the kernels have run,
// because some drivers finish compilation only then. Owned by the device; locks; any thread.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugins/opencl/cl/api.h"

namespace tenon::opencl {

// The text of one kernel. Its function is called KERNEL_NAME; helpers (functions, macros) stand before it, each text once per program.
struct KernelText {
  std::vector<std::string> helpers;
  std::string body;
};

// A built program and whether its file is still to be written.
struct BuiltProgram {
  const Api* api = nullptr;
  cl_program program = nullptr;
  std::string file;      // "": from disk already, or no cache
  std::vector<std::string> names;  // of its kernels
  bool stored = false;   // guarded by Kernels
  ~BuiltProgram() {
    if (program) api->clReleaseProgram(program);
  }
};

struct BuiltKernel {
  std::shared_ptr<BuiltProgram> program;
  std::string name;
};

class Kernels {
 public:
  // cache: a folder, made when needed; "": nothing on disk. limit: bytes it may hold.
  Kernels(const Api& api, cl_context context, cl_device_id device, std::string identity, std::string cache, std::int64_t limit);

  // One built kernel for each text. Throws Failure: INTERNAL with the compiler's log and the source's name where a text does not build.
  std::vector<BuiltKernel> get(const std::vector<const KernelText*>& texts);
  // Says that all kernels of these programs have run: their files are written now. Never throws: a cache that cannot be written is no
  // failure of the run.
  void ran(const std::vector<std::shared_ptr<BuiltProgram>>& programs) noexcept;

  struct Counts {
    std::uint64_t built = 0, from_disk = 0, reused = 0;
  };
  Counts counts() const;

 private:
  std::shared_ptr<BuiltProgram> build(const std::string& source, std::string& log);
  std::shared_ptr<BuiltProgram> load(const std::string& file);
  void look_around();
  void trim() const;

  const Api& api_;
  cl_context context_;
  cl_device_id device_;
  std::string prefix_, cache_;  // of file names: device, driver, options
  std::int64_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, BuiltKernel> built_;      // by name
  std::unordered_map<std::string, std::string> on_disk_;    // by name: the file that has it
  bool looked_ = false;
  Counts counts_;
};

}  // namespace tenon::opencl
