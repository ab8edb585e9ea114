#include "sdk/kit/onnx_cases.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>
#include <minizip/unzip.h>
#include <nlohmann/json.hpp>

namespace tenon::kit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  if (!in) throw std::runtime_error(fmt::format("\"{}\" cannot be read", path.string()));
  return bytes;
}

using Zip = std::unique_ptr<void, int (*)(void*)>;

Zip open_archive(const std::string& path) {
  Zip zip(unzOpen64(path.c_str()), unzClose);
  if (!zip) throw std::runtime_error(fmt::format("\"{}\" is no archive of ONNX cases", path));
  return zip;
}

std::vector<std::string> numbered(const fs::path& folder, const char* kind) {
  std::vector<std::string> found;
  for (fs::path p; fs::exists(p = folder / fmt::format("{}_{}.pb", kind, found.size()));) found.push_back(p.string());
  return found;
}

OnnxCase case_of(const Json& entry) {
  OnnxCase c;
  c.name = entry.at("name"), c.model = entry.at("model");
  c.tolerances = {entry.value("rtol", c.tolerances.rtol), entry.value("atol", c.tolerances.atol)};
  c.random = entry.value("random", false);
  for (const Json& set : entry.at("sets")) c.sets.push_back({set.at("inputs"), set.at("outputs")});
  return c;
}

}  // namespace

OnnxCases::OnnxCases(std::string path) : path_(std::move(path)) {
  std::error_code code;
  archive_ = !fs::is_directory(path_, code);
  if (archive_) read_archive();
  else read_folder();
}

void OnnxCases::read_archive() {
  const Zip zip = open_archive(path_);
  std::string name(512, '\0');
  for (int next = unzGoToFirstFile(zip.get()); next == UNZ_OK; next = unzGoToNextFile(zip.get())) {
    unz64_file_pos place{};
    if (unzGetCurrentFileInfo64(zip.get(), nullptr, name.data(), name.size() - 1, nullptr, 0, nullptr, 0) == UNZ_OK &&
        unzGetFilePos64(zip.get(), &place) == UNZ_OK)
      places_[name.c_str()] = {place.pos_in_zip_directory, place.num_of_file};
  }
  try {
    const Json index = Json::parse(read_entry("index.json"));
    version_ = index.at("onnx");
    for (const Json& entry : index.at("cases")) cases_.push_back(case_of(entry));
  } catch (const Json::exception& e) {
    throw std::runtime_error(fmt::format("\"{}\": its index is no list of ONNX cases: {}", path_, e.what()));
  }
}

std::string OnnxCases::read_entry(const std::string& name) const {
  const auto damaged = [&] { return std::runtime_error(fmt::format("\"{}\": its entry \"{}\" is missing or damaged", path_, name)); };
  const auto known = places_.find(name);
  if (known == places_.end()) throw damaged();
  const Zip zip = open_archive(path_);
  const unz64_file_pos place{known->second.first, known->second.second};
  unz_file_info64 info{};
  if (unzGoToFilePos64(zip.get(), &place) != UNZ_OK || unzOpenCurrentFile(zip.get()) != UNZ_OK ||
      unzGetCurrentFileInfo64(zip.get(), &info, nullptr, 0, nullptr, 0, nullptr, 0) != UNZ_OK || info.uncompressed_size > 1u << 30)
    throw damaged();
  std::string bytes(info.uncompressed_size, '\0');
  if (unzReadCurrentFile(zip.get(), bytes.data(), static_cast<unsigned>(bytes.size())) != static_cast<int>(bytes.size()) ||
      unzCloseCurrentFile(zip.get()) != UNZ_OK)  // the checksum
    throw damaged();
  return bytes;
}

void OnnxCases::read_folder() {
  for (const fs::directory_entry& folder : fs::directory_iterator(path_)) {
    OnnxCase c;
    c.name = folder.path().filename().string();
    c.model = (folder.path() / "model.onnx").string();
    if (!fs::exists(c.model)) continue;
    std::vector<fs::path> sets;
    for (const fs::directory_entry& set : fs::directory_iterator(folder.path()))
      if (set.is_directory()) sets.push_back(set.path());
    std::sort(sets.begin(), sets.end());
    for (const fs::path& set : sets) c.sets.push_back({numbered(set, "input"), numbered(set, "output")});
    if (c.sets.empty()) throw std::runtime_error(fmt::format("\"{}\": there is no test_data_set_0", folder.path().string()));
    if (const fs::path own = folder.path() / "data.json"; fs::exists(own)) {
      const Json data = Json::parse(read_file(own), nullptr, false);
      if (!data.is_object()) throw std::runtime_error(fmt::format("\"{}\": a JSON object is expected", own.string()));
      c.tolerances = {data.value("rtol", c.tolerances.rtol), data.value("atol", c.tolerances.atol)};
    }
    cases_.push_back(std::move(c));
  }
  if (cases_.empty())
    throw std::runtime_error(fmt::format("\"{}\" holds no ONNX cases: <case>/model.onnx and <case>/test_data_set_0 are expected", path_));
  std::sort(cases_.begin(), cases_.end(), [](const OnnxCase& a, const OnnxCase& b) { return a.name < b.name; });
}

std::string OnnxCases::read(const std::string& name) const { return archive_ ? read_entry(name) : read_file(name); }

}  // namespace tenon::kit
