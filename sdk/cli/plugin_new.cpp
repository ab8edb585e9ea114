#include "sdk/cli/plugin_new.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "sdk/cli/session_args.h"

namespace tenon::cli {
namespace {

namespace fs = std::filesystem;

// What the template is called: stands in its names and texts wherever the new one's belongs.
constexpr std::string_view placeholder = "acme";

// share/tenon/template beside the folder that this program is in.
fs::path template_folder() {
  std::error_code code;
  const fs::path self = fs::read_symlink("/proc/self/exe", code);
  const fs::path folder = self.parent_path().parent_path() / "share/tenon/template";
  if (!fs::is_directory(folder, code))
    throw Failure{failed, fmt::format("\"{}\" is missing: this installation of tenon has no template", folder.string())};
  return folder;
}

std::string renamed(std::string text, const std::string& name) {
  std::string upper = name, from(placeholder), from_upper(placeholder);
  const auto capital = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  std::transform(upper.begin(), upper.end(), upper.begin(), capital);
  std::transform(from_upper.begin(), from_upper.end(), from_upper.begin(), capital);
  for (const auto& [old, fresh] : {std::pair{from, name}, std::pair{from_upper, upper}})
    for (std::size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += fresh.size()) text.replace(at, old.size(), fresh);
  return text;
}

}  // namespace

int PluginNew::operator()() const {
  if (name.empty() || name.size() > 40 || name.front() < 'a' || name.front() > 'z' ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
    throw Failure{usage, fmt::format("\"{}\": an id of a-z, 0-9 and '_' is expected, beginning with a letter", name)};
  const fs::path from = template_folder(), to = folder.empty() ? fs::path(name) : fs::path(folder);
  std::error_code code;
  if (fs::exists(to, code) && !(fs::is_directory(to, code) && fs::is_empty(to, code)))
    throw Failure{failed, fmt::format("\"{}\" is there already; nothing was written", to.string())};
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    const fs::path target = to / renamed(fs::relative(entry.path(), from).string(), name);
    fs::create_directories(target.parent_path(), code);
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    std::ofstream out(target, std::ios::binary);
    out << renamed(text, name);
    if (!out.flush()) throw Failure{failed, fmt::format("\"{}\" cannot be written", target.string())};
    fmt::print("{}\n", target.string());
  }
  const fs::path prefix = from.parent_path().parent_path().parent_path();
  fmt::print(stderr,
             "\ncmake -S {0} -B {0}/build -DCMAKE_PREFIX_PATH={1} && cmake --build {0}/build && ctest --test-dir {0}/build "
             "--output-on-failure\n",
             to.string(), prefix.string());
  return ok;
}

}  // namespace tenon::cli
