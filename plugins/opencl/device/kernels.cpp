#include "plugins/opencl/device/kernels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <unordered_set>

#include <unistd.h>

#include "plugins/opencl/device/sha256.h"
#include "plugins/opencl/host.h"

namespace tenon::opencl {
namespace {

namespace fs = std::filesystem;
constexpr char magic[8] = {'t', 'n', 'o', 'c', 'l', '0', '0', '2'};
constexpr std::size_t max_kernels = 100000;  // of one file
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
    : api_(api), context_(context), device_(device), prefix_(sha256_hex(identity + '\1' + build_options).substr(0, 32) + "-"), cache_(std::move(cache)), limit_(limit) {}

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

// Which kernels the folder's files hold, as their heads say.
void Kernels::look_around() {
  if (looked_ || cache_.empty()) return;
  looked_ = true;
  std::error_code fault;
  for (const auto& entry : fs::directory_iterator(cache_, fault)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix_, 0) != 0 || entry.path().extension() != ".bin") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    char head[sizeof magic + 64];
    if (!in.read(head, sizeof head) || std::memcmp(head, magic, sizeof magic) != 0) continue;
    std::size_t count = 0;
    std::string line;
    if (!(in >> count) || count > max_kernels) continue;
    in.get();
    for (std::size_t i = 0; i < count && std::getline(in, line); ++i) on_disk_.emplace(line, entry.path().string());
  }
}

// null: not there or damaged; then its kernels are built again.
std::shared_ptr<BuiltProgram> Kernels::load(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return nullptr;
  const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  constexpr std::size_t head = sizeof magic + 64;
  if (all.size() <= head || std::memcmp(all.data(), magic, sizeof magic) != 0) return nullptr;
  const std::string_view rest(all.data() + head, all.size() - head);
  if (std::string_view(all.data() + sizeof magic, 64) != sha256_hex(rest)) return nullptr;
  auto out = std::make_shared<BuiltProgram>();
  out->api = &api_;
  // "<count>\n", a line for each name, the driver's bytes.
  std::size_t at = rest.find('\n');
  const std::size_t count = at == rest.npos ? 0 : static_cast<std::size_t>(std::strtoul(std::string(rest.substr(0, at)).c_str(), nullptr, 10));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t end = rest.find('\n', at + 1);
    if (end == rest.npos) return nullptr;
    out->names.emplace_back(rest.substr(at + 1, end - at - 1));
    at = end;
  }
  if (count == 0) return nullptr;
  const std::string_view bytes = rest.substr(at + 1);
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
  look_around();
  std::vector<std::string> names;
  std::map<std::string, const KernelText*> missing;  // by name, so that the same kernels make the same program
  const auto take = [&](const std::shared_ptr<BuiltProgram>& program) {
    for (const std::string& name : program->names) built_.emplace(name, BuiltKernel{program, name}), missing.erase(name);
  };
  for (const KernelText* t : texts) {
    names.push_back(name_of(key_of(*t)));
    if (built_.count(names.back())) ++counts_.reused;
    else missing.emplace(names.back(), t);
  }
  const auto wanted = missing;
  for (const auto& [name, text] : wanted) {
    const auto file = on_disk_.find(name);
    if (file == on_disk_.end() || !missing.count(name)) continue;
    if (const std::shared_ptr<BuiltProgram> program = load(file->second)) {
      take(program);
      ++counts_.from_disk;
    } else {
      on_disk_.erase(file);
    }
  }
  if (!missing.empty()) {
    const std::vector<std::pair<std::string, const KernelText*>> list(missing.begin(), missing.end());
    const std::string source = program_source(list);
    std::string log;
    const std::shared_ptr<BuiltProgram> program = build(source, log);
    if (!program) {
      // Which one is it?
      for (const auto& one : list)
        if (std::string own; !build(program_source({one}), own))
          throw Failure{TENON_INTERNAL, "a generated kernel does not build on this device: " + own + "\n" + one.second->body.substr(0, 6000)};
      throw Failure{TENON_INTERNAL, "generated kernels do not build together on this device: " + log};
    }
    ++counts_.built;
    if (!cache_.empty()) program->file = (fs::path(cache_) / (prefix_ + sha256_hex(source) + ".bin")).string();
    for (const auto& [name, text] : list) program->names.push_back(name);
    take(program);
  }
  std::vector<BuiltKernel> out;
  for (const std::string& n : names) out.push_back(built_.at(n));
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
      std::string rest = std::to_string(p->names.size()) + "\n";
      for (const std::string& name : p->names) rest += name + "\n";
      rest += bytes;
      out.write(magic, sizeof magic);
      out << sha256_hex(rest);
      out.write(rest.data(), static_cast<std::streamsize>(rest.size()));
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
