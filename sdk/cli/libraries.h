// libraries: which shared libraries a file needs that the system's loader will not find, where it would look, and how to get them.
//
// Follows the rules of ld.so: RPATH, LD_LIBRARY_PATH, RUNPATH, the cache that ldconfig keeps, the default folders; runs no
// code of the files. Functions without state.
#pragma once

#include <string>
#include <vector>

namespace tenon::cli {

struct MissingLibrary {
  std::string name;                   // "libfoo.so.1"
  std::string needed_by;              // path of the file that needs it
  std::vector<std::string> searched;  // "RUNPATH /opt/x/lib", "LD_LIBRARY_PATH is not set", "/etc/ld.so.cache (...)", ...
  std::string remedy;                 // "apt install ..." or how to find out
};

// opened: names that the file opens while it runs, which are not written in it. Files that are no libraries need nothing.
std::vector<MissingLibrary> missing_libraries(const std::string& file, const std::vector<std::string>& opened);

}  // namespace tenon::cli
