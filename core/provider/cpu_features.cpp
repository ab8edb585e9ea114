#include "core/provider/cpu_features.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace tenon {

bool cpu_has(std::string_view feature) {
  static const std::set<std::string, std::less<>> features = [] {
    std::set<std::string, std::less<>> found;
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
      std::istringstream words(line.substr(line.find(':') + 1));
      for (std::string word; words >> word;) found.insert(word);
      break;
    }
    return found;
  }();
  return features.contains(feature);
}

}  // namespace tenon
