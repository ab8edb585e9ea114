#include "exceptions.h"

#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

namespace tenon::corpus {

std::map<std::string, std::string> read_exceptions(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read", path.string()));
  std::map<std::string, std::string> all;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t space = line.find(' ');
    const std::string reason = space == std::string::npos ? "" : line.substr(space + 1);
    if (reason.find_first_not_of(' ') == std::string::npos)
      throw std::runtime_error(fmt::format("{}:{}: \"{}\" has no reason; expected: name reason", path.string(), number, line));
    if (!all.emplace(line.substr(0, space), reason).second)
      throw std::runtime_error(fmt::format("{}:{}: {} stands there twice", path.string(), number, line.substr(0, space)));
  }
  return all;
}

}  // namespace tenon::corpus
