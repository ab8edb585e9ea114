#include "plugins/opencl/device/kernels.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unordered_set>

#include <unistd.h>

#include "plugins/opencl/device/sha256.h"
#include "plugins/opencl/failure.h"

namespace tenon::opencl {
namespace {

namespace fs = std::filesystem;
constexpr char magic[8] = {'t', 'n', 'o', 'c', 'l', '0', '0', '1'};
// Denormals and rounding as the language says; contraction of a*b+c is allowed, as on every peer.
constexpr const char* build_options = "-cl-std=CL1.2 -cl-mad-enable -cl-no-signed-zeros";

std::string key_of(const KernelText& text) {
  std::string all;
  for (const std::string& h : text.helpers) all += h + '\1';
  return all + text.body;
}

std::string name_of(const std::string& key) { return "k" + sha256_hex(key).substr(0, 20); }

std::string build_log(const Api& api, cl_program program, cl_device_id device) {
  std::size_t bytes = 0;
  if (api.clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes) != CL_SUCCESS || bytes < 2) return "no log";
  std::string text(bytes, '\0');
  if (api.clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, bytes, text.data(), nullptr) != CL_SUCCESS) return "no log";
  text.resize(std::strlen(text.c_str()));
  return text.substr(0, 4000);
}

std::string program_source(const std::vector<std::pair<std::string, const KernelText*>>& kernels) {
  std::string out = "#ifdef cl_khr_fp64\n#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n#endif\n";
  std::unordered_set<std::string> seen;
  for (const auto& [name, text] : kernels)
    for (const std::string& h : text->helpers)
      if (seen.insert(h).second) out += h + "\n";
  for (const auto& [name, text] : kernels) out += "#undef KERNEL_NAME\n#define KERNEL_NAME " + name + "\n" + text->body + "\n";
  return out;
}

}  // namespace

Kernels::Kernels(const Api& api, cl_context context, cl_device_id device, std::string identity, std::string cache, std::int64_t limit)
    : api_(api), context_(context), device_(device), identity_(std::move(identity)), cache_(std::move(cache)), limit_(limit) {}

Kernels::Counts Kernels::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::shared_ptr<BuiltProgram> Kernels::build(const std::string& source, std::string& log) {
  auto out = std::make_shared<BuiltProgram>();
  out->api = &api_;
  const char* text = source.c_str();
  const std::size_t size = source.size();
  cl_int code = CL_SUCCESS;
  out->program = api_.clCreateProgramWithSource(context_, 1, &text, &size, &code);
  check(code, "a program from source");
  code = api_.clBuildProgram(out->program, 1, &device_, build_options, nullptr, nullptr);
  if (code == CL_SUCCESS) return out;
  if (is_lost(code) || code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES) check(code, "building a program");
  log = error_name(code) + "\n" + build_log(api_, out->program, device_);
  return nullptr;
}

// null: not there, damaged, or of another driver; then it is built again.
std::shared_ptr<BuiltProgram> Kernels::load(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return nullptr;
  const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  constexpr std::size_t head = sizeof magic + 64;
  if (all.size() <= head || std::memcmp(all.data(), magic, sizeof magic) != 0) return nullptr;
  const std::string_view bytes(all.data() + head, all.size() - head);
  if (std::string_view(all.data() + sizeof magic, 64) != sha256_hex(bytes)) return nullptr;
  auto out = std::make_shared<BuiltProgram>();
  out->api = &api_;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const std::size_t size = bytes.size();
  cl_int status = CL_SUCCESS, code = CL_SUCCESS;
  out->program = api_.clCreateProgramWithBinary(context_, 1, &device_, &size, &data, &status, &code);
  if (code != CL_SUCCESS || status != CL_SUCCESS) return nullptr;
  if (api_.clBuildProgram(out->program, 1, &device_, build_options, nullptr, nullptr) != CL_SUCCESS) return nullptr;
  std::error_code ignored;
  fs::last_write_time(file, fs::file_time_type::clock::now(), ignored);  // used lately: trimmed last
  return out;
}

std::vector<BuiltKernel> Kernels::get(const std::vector<const KernelText*>& texts) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  std::vector<std::pair<std::string, const KernelText*>> missing;
  std::unordered_set<std::string> wanted;
  for (const KernelText* t : texts) {
    keys.push_back(key_of(*t));
    if (built_.count(keys.back())) ++counts_.reused;
    else if (wanted.insert(keys.back()).second) missing.emplace_back(name_of(keys.back()), t);
  }
  if (!missing.empty()) {
    // By name, so that the same kernels make the same program whatever the order of their steps.
    std::sort(missing.begin(), missing.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const std::string source = program_source(missing);
    const std::string file = cache_.empty() ? "" : (fs::path(cache_) / (sha256_hex(identity_ + '\1' + build_options + '\1' + source) + ".bin")).string();
    std::shared_ptr<BuiltProgram> program = file.empty() ? nullptr : load(file);
    if (program) ++counts_.from_disk;
    if (!program) {
      std::string log;
      program = build(source, log);
      if (!program) {
        // Which one is it?
        for (const auto& one : missing)
          if (std::string own; !build(program_source({one}), own))
            throw Failure{TENON_INTERNAL, "a generated kernel does not build on this device: " + own + "\n" + one.second->body.substr(0, 6000)};
        throw Failure{TENON_INTERNAL, "generated kernels do not build together on this device: " + log};
      }
      ++counts_.built;
      program->file = file;
    }
    for (const auto& [name, text] : missing) built_.emplace(key_of(*text), BuiltKernel{program, name});
  }
  std::vector<BuiltKernel> out;
  for (const std::string& k : keys) out.push_back(built_.at(k));
  return out;
}

void Kernels::ran(const std::vector<std::shared_ptr<BuiltProgram>>& programs) noexcept try {
  std::lock_guard lock(mutex_);
  bool wrote = false;
  for (const auto& p : programs) {
    if (p->stored || p->file.empty()) continue;
    p->stored = true;
    std::size_t size = 0;
    if (api_.clGetProgramInfo(p->program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) != CL_SUCCESS || size == 0) continue;
    std::string bytes(size, '\0');
    auto* data = reinterpret_cast<unsigned char*>(bytes.data());
    if (api_.clGetProgramInfo(p->program, CL_PROGRAM_BINARIES, sizeof data, &data, nullptr) != CL_SUCCESS) continue;
    std::error_code fault;
    fs::create_directories(cache_, fault);
    const std::string temporary = p->file + "." + std::to_string(::getpid());
    {
      std::ofstream out(temporary, std::ios::binary);
      out.write(magic, sizeof magic);
      out << sha256_hex(bytes);
      out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      if (!out.flush()) {
        out.close();
        fs::remove(temporary, fault);
        continue;
      }
    }
    fs::rename(temporary, p->file, fault);
    wrote = true;
  }
  if (wrote) trim();
} catch (...) {
}

// Removes what was used longest ago until the folder fits its limit.
void Kernels::trim() const {
  struct File {
    fs::path path;
    fs::file_time_type time;
    std::int64_t bytes;
  };
  std::vector<File> files;
  std::int64_t total = 0;
  std::error_code fault;
  for (const auto& entry : fs::directory_iterator(cache_, fault)) {
    if (entry.path().extension() != ".bin") continue;
    const auto bytes = static_cast<std::int64_t>(entry.file_size(fault));
    files.push_back({entry.path(), entry.last_write_time(fault), bytes});
    total += bytes;
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.time < b.time; });
  for (const File& f : files) {
    if (total <= limit_) break;
    if (fs::remove(f.path, fault)) total -= f.bytes;
  }
}

}  // namespace tenon::opencl
