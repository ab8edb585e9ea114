// Candidates: the OpenCL devices of the machine, and which of them an option names.
//
// Enumerated once in create. A platform or device that fails is left out and its failure kept, to be told when nothing is left.
#pragma once

#include <string>
#include <vector>

#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

struct Candidate {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  std::uint32_t platform_index = 0, device_index = 0;  // for "1:0"
  cl_device_type type = 0;
  Profile profile;

  std::string uid() const;  // "opencl:<platform>:<device>"
};

struct Candidates {
  std::vector<Candidate> devices;
  std::vector<std::string> troubles;  // what could not be asked, and why
};

Candidates enumerate_devices(const Api& api);

// The devices that choice names, best first: "any" (GPUs, then accelerators, then what there is), "gpu", "cpu", "<platform>:<index>" or a uid,
// "name~<regular expression>". Throws Failure: INVALID_ARGUMENT for another text, NOT_FOUND when nothing fits, with what there is.
std::vector<Candidate> select(const Candidates& all, const std::string& choice);

}  // namespace tenon::opencl
