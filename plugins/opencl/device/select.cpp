#include "plugins/opencl/device/select.h"

#include <algorithm>
#include <regex>

#include "plugins/opencl/host.h"

namespace tenon::opencl {
namespace {

std::string list_of(const Candidates& all) {
  std::string text;
  for (const Candidate& c : all.devices)
    text += "\n  " + std::to_string(c.platform_index) + ":" + std::to_string(c.device_index) + " " + c.profile.name + (c.profile.cpu ? " (cpu)" : "");
  if (all.devices.empty()) text += "\n  no device at all";
  for (const std::string& t : all.troubles) text += "\n  " + t;
  return text;
}

int rank(const Candidate& c) {
  if (c.type & CL_DEVICE_TYPE_GPU) return 0;
  if (c.type & CL_DEVICE_TYPE_ACCELERATOR) return 1;
  return 2;
}

bool digits(const std::string& s) { return !s.empty() && s.size() < 7 && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; }); }

}  // namespace

std::string Candidate::uid() const { return "opencl:" + std::to_string(platform_index) + ":" + std::to_string(device_index); }

Candidates enumerate_devices(const Api& api) {
  Candidates out;
  cl_uint count = 0;
  cl_int code = api.clGetPlatformIDs(0, nullptr, &count);
  std::vector<cl_platform_id> platforms(code == CL_SUCCESS ? count : 0);
  if (!platforms.empty()) code = api.clGetPlatformIDs(count, platforms.data(), nullptr);
  if (code != CL_SUCCESS || platforms.empty()) {
    const bool none = code == CL_SUCCESS || code == -1001;
    out.troubles.push_back(none ? "no OpenCL platform: the loader found no driver (/etc/OpenCL/vendors or OCL_ICD_VENDORS)" : "clGetPlatformIDs: " + error_name(code));
    return out;
  }
  for (std::uint32_t p = 0; p < platforms.size(); ++p) {
    cl_uint n = 0;
    code = api.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 0, nullptr, &n);
    std::vector<cl_device_id> devices(code == CL_SUCCESS ? n : 0);
    if (!devices.empty()) code = api.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, n, devices.data(), nullptr);
    if (code != CL_SUCCESS) {
      out.troubles.push_back("platform " + std::to_string(p) + " gives no devices: " + error_name(code));
      continue;
    }
    for (std::uint32_t d = 0; d < devices.size(); ++d) {
      Candidate c{platforms[p], devices[d], p, d, 0, {}};
      code = api.clGetDeviceInfo(devices[d], CL_DEVICE_TYPE, sizeof c.type, &c.type, nullptr);
      if (code == CL_SUCCESS) c.profile = look_at(api, platforms[p], devices[d]);
      if (code != CL_SUCCESS) out.troubles.push_back("device " + std::to_string(p) + ":" + std::to_string(d) + ": " + error_name(code));
      else if (!c.profile.compiler) out.troubles.push_back("device " + std::to_string(p) + ":" + std::to_string(d) + " " + c.profile.name + " has no compiler");
      else out.devices.push_back(std::move(c));
    }
  }
  return out;
}

std::vector<Candidate> select(const Candidates& all, const std::string& given) {
  std::vector<Candidate> out;
  const std::string choice = given.rfind("opencl:", 0) == 0 ? given.substr(7) : given;  // a uid will do
  const auto keep = [&](auto&& fits) { std::copy_if(all.devices.begin(), all.devices.end(), std::back_inserter(out), fits); };
  const std::size_t colon = choice.find(':');
  if (choice == "any" || choice.empty()) {
    keep([](const Candidate&) { return true; });
  } else if (choice == "gpu") {
    keep([](const Candidate& c) { return (c.type & CL_DEVICE_TYPE_GPU) != 0; });
  } else if (choice == "cpu") {
    keep([](const Candidate& c) { return (c.type & CL_DEVICE_TYPE_CPU) != 0; });
  } else if (choice.rfind("name~", 0) == 0) {
    std::regex pattern;
    try {
      pattern = std::regex(choice.substr(5), std::regex::ECMAScript | std::regex::icase);
    } catch (const std::regex_error& e) {
      throw Failure{TENON_INVALID_ARGUMENT, "option \"device\": \"" + choice + "\" is no regular expression: " + e.what()};
    }
    keep([&](const Candidate& c) { return std::regex_search(c.profile.name, pattern); });
  } else if (colon != std::string::npos && digits(choice.substr(0, colon)) && digits(choice.substr(colon + 1))) {
    const auto p = static_cast<std::uint32_t>(std::stoul(choice.substr(0, colon))), d = static_cast<std::uint32_t>(std::stoul(choice.substr(colon + 1)));
    keep([&](const Candidate& c) { return c.platform_index == p && c.device_index == d; });
  } else {
    throw Failure{TENON_INVALID_ARGUMENT, "option \"device\" is \"" + choice + "\"; expected any, gpu, cpu, <platform>:<index> or name~<regular expression>"};
  }
  if (out.empty()) throw Failure{TENON_NOT_FOUND, "no OpenCL device for \"" + (choice.empty() ? "any" : choice) + "\"; there is:" + list_of(all)};
  std::stable_sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
  return out;
}

}  // namespace tenon::opencl
