#include "corpus.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenon::corpus {
namespace fs = std::filesystem;
namespace {

nlohmann::json read_json(const fs::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read; scripts/setup writes the corpora", path.string()));
  try {
    return nlohmann::json::parse(file);
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("{}: {}; remove the folder and run scripts/setup", path.string(), e.what()));
  }
}

std::vector<fs::path> sorted_folders(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory()) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> numbered(const fs::path& folder, const char* prefix) {
  std::vector<fs::path> found;
  for (fs::path p; fs::exists(p = folder / fmt::format("{}_{}.pb", prefix, found.size()));) found.push_back(p);
  return found;
}

Case read_case(const fs::path& folder) {
  Case c;
  const std::string suite = folder.parent_path().filename().string();
  c.name = (suite == "node" ? "" : suite + "/") + folder.filename().string();
  c.model = folder / "model.onnx";
  for (const fs::path& set : sorted_folders(folder)) c.data_sets.push_back({numbered(set, "input"), numbered(set, "output")});
  if (c.data_sets.empty()) throw std::runtime_error(fmt::format("{}: there is no test_data_set_0", folder.string()));
  if (fs::exists(folder / "data.json")) {
    const nlohmann::json own = read_json(folder / "data.json");
    c.tolerances = {own.value("rtol", c.tolerances.rtol), own.value("atol", c.tolerances.atol)};
  }
  return c;
}

}  // namespace

Corpus read_corpus(const fs::path& folder) {
  const nlohmann::json manifest = read_json(folder / "manifest.json");
  Corpus corpus;
  corpus.onnx_version = manifest.value("onnx", "");
  corpus.minimum = manifest.value("minimum", std::size_t{0});
  for (const fs::path& suite : sorted_folders(folder))
    for (const fs::path& path : sorted_folders(suite))
      if (fs::exists(path / "model.onnx")) corpus.cases.push_back(read_case(path));
  const std::size_t promised = manifest.value("cases", std::size_t{0});
  if (corpus.cases.empty() || corpus.cases.size() != promised)
    throw std::runtime_error(fmt::format("{}: {} cases, its manifest promises {}; remove the folder and run scripts/setup", folder.string(),
                                         corpus.cases.size(), promised));
  return corpus;
}

}  // namespace tenon::corpus
