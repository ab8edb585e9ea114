// exceptions: the cases that are known not to pass, by exact name, each with a reason.
// Plain data; any thread may read.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace tenon::corpus {

// Lines "name reason"; empty ones and those that begin with # say nothing.
// Errors: throws std::runtime_error for a file that cannot be read, a name without a reason and a name that stands twice.
std::map<std::string, std::string> read_exceptions(const std::filesystem::path& path);

}  // namespace tenon::corpus
