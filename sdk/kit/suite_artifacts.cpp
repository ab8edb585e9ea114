// artifacts: what compile has stored is taken again, and a damaged store is noticed.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

void kept_and_taken(Subject& s) {
  const Subject::Work work = s.work();
  s.watch().artifacts = 1;
  Subject::check(s.tested(work.model), work, "with an empty store");
  if (s.watch().artifact_puts == 0) throw NotClaimed("it stores no artifacts");
  const std::int64_t puts = s.watch().artifact_puts;
  Subject::check(s.tested(work.model), work, "from stored artifacts");
  expect(s.watch().artifact_gets > 0, "it stores artifacts and never asks for them");
  expect(s.watch().artifact_puts == puts, "what was stored is compiled and stored again");
}

void damaged(Subject& s) {
  const Subject::Work work = s.work();
  s.watch().artifacts = 1;
  Subject::check(s.tested(work.model), work, "with an empty store");
  if (s.watch().artifact_puts == 0) throw NotClaimed("it stores no artifacts");
  s.watch().artifacts = 2;
  for (int i = 0; i < 3; ++i) Subject::check(s.tested(work.model), work, "from damaged artifacts");
}

// Weights that are large enough to be worth a file.
Subject::Work wide(Subject& s) {
  Random random(6);
  Model m;
  m.input("x", TENON_DTYPE_FLOAT, {6, 256})
      .constant("w", random_tensor(random, TENON_DTYPE_FLOAT, {256, 256}, -1, 1))
      .node("MatMul", {"x", "w"}, {"y"})
      .output("y");
  Subject::Work work{m, {{"x", random_tensor(random, TENON_DTYPE_FLOAT, {6, 256}, -1, 1)}}, "MatMul with weights [256, 256]"};
  s.require_claimed(s.tested(work.model));
  return work;
}

// Packed weights go through the same cache folder of the session.
void cache_folder(Subject& s, bool damage) {
  namespace fs = std::filesystem;
  const Subject::Work work = wide(s);
  const std::string folder = s.target().folder + (damage ? "/damaged" : "/kept");
  const Settings settings{{"/session/cache", "\"" + folder + "\""}, {"/session/cache_check", "content"}};
  Subject::check(s.tested(work.model, settings), work, "with an empty cache folder");
  std::size_t files = 0;
  std::error_code code;
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(folder, code)) {
    if (!e.is_regular_file()) continue;
    ++files;
    if (!damage) continue;
    std::fstream file(e.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::size_t size = e.file_size();
    for (std::size_t at = size / 3; at < size; at += 97) file.seekp(static_cast<std::streamoff>(at)), file.put(0x5a);
  }
  if (files == 0) throw NotClaimed("nothing of it lies in the session's cache");
  Subject::check(s.tested(work.model, settings), work, damage ? "from a damaged cache folder" : "from the cache folder");
}
void cache_kept(Subject& s) { cache_folder(s, false); }
void cache_damaged(Subject& s) { cache_folder(s, true); }

}  // namespace

void add_artifacts(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"kept_and_taken", kept_and_taken},
                                                            {"damaged", damaged},
                                                            {"session_cache", cache_kept},
                                                            {"session_cache_damaged", cache_damaged}};
  for (const auto& [name, body] : all) cases.push_back({"artifacts", name, body});
}

}  // namespace tenon::kit
