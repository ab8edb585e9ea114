#include <vector>

#include <dlfcn.h>

#include "plugins/opencl/cl/api.h"
#include "plugins/opencl/host.h"

namespace tenon::opencl {
namespace {

// The ICD loader under the names that systems give it.
const std::vector<std::string> usual_names = {"libOpenCL.so.1", "libOpenCL.so"};

// null when a function is not there; then missing names it.
std::shared_ptr<Api> resolve(void* library, std::string& missing) {
  auto api = std::make_shared<Api>();
#define TENON_OPENCL_RESOLVE(f)                                    \
  api->f = reinterpret_cast<decltype(api->f)>(::dlsym(library, #f)); \
  if (!api->f && missing.empty()) missing = #f;
  TENON_OPENCL_FUNCTIONS(TENON_OPENCL_RESOLVE)
#undef TENON_OPENCL_RESOLVE
  return missing.empty() ? api : nullptr;
}

}  // namespace

std::shared_ptr<const Api> load_api(const std::string& library) {
  std::string tried;
  for (const std::string& name : library.empty() ? usual_names : std::vector<std::string>{library}) {
    // Never closed: drivers leave threads and exit handlers behind.
    void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* why = ::dlerror();
      tried += "\n  " + std::string(why ? why : name);
      continue;
    }
    std::string missing;
    if (auto api = resolve(handle, missing)) {
      api->library = name;
      return api;
    }
    tried += "\n  " + name + " has no " + missing + ": it is no OpenCL 1.2 library";
  }
  throw Failure{TENON_MISSING_DEPENDENCY,
                "no OpenCL library could be opened:" + tried + "\n  install an ICD loader and a driver (Debian: ocl-icd-libopencl1 and, for CPUs, pocl-opencl-icd)"};
}

}  // namespace tenon::opencl
