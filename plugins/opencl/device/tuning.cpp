#include "plugins/opencl/device/tuning.h"

#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "plugins/opencl/device/sha256.h"

namespace tenon::opencl {

namespace fs = std::filesystem;

Tuning::Tuning(std::string folder, const std::string& identity) {
  if (folder.empty()) return;
  file_ = (fs::path(folder) / ("tuning-" + sha256_hex(identity).substr(0, 16) + ".txt")).string();
  read();
}

// Lines of "<choice> <key>"; what was put here stays.
void Tuning::read() {
  std::ifstream in(file_);
  int choice = 0;
  std::string key;
  while (in >> choice && in.get() == ' ' && std::getline(in, key))
    if (choice >= 0 && !key.empty()) choices_.emplace(key, choice);
}

int Tuning::find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto at = choices_.find(key);
  return at == choices_.end() ? -1 : at->second;
}

void Tuning::put(const std::string& key, int choice) {
  std::lock_guard lock(mutex_);
  choices_[key] = choice;
}

void Tuning::save() noexcept try {
  std::lock_guard lock(mutex_);
  if (file_.empty()) return;
  read();
  std::error_code fault;
  fs::create_directories(fs::path(file_).parent_path(), fault);
  const std::string temporary = file_ + "." + std::to_string(::getpid());
  {
    std::ofstream out(temporary);
    for (const auto& [key, choice] : choices_) out << choice << ' ' << key << '\n';
    if (!out.flush()) {
      out.close();
      fs::remove(temporary, fault);
      return;
    }
  }
  fs::rename(temporary, file_, fault);
} catch (...) {
}

}  // namespace tenon::opencl
