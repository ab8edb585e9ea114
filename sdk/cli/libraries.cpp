#include "sdk/cli/libraries.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <glob.h>
#include <optional>
#include <set>
#include <sstream>

#include <fmt/format.h>

namespace tenon::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t most_strings = std::uint64_t{64} << 20;
constexpr std::size_t most_files = 1000;

// What the dynamic section of a file says.
struct Object {
  std::string path;
  std::vector<std::string> needed;
  std::string rpath, runpath;
  std::uint16_t machine = 0;
};

template <class T>
bool read_at(std::ifstream& file, std::uint64_t offset, T* to, std::uint64_t count) {
  file.clear();
  return file.seekg(static_cast<std::streamoff>(offset)) &&
         file.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(T)));
}

// nullopt for what is no 64-bit ELF file or is damaged.
std::optional<Object> read_object(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr head{};
  if (!file || !read_at(file, 0, &head, 1) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
      head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(Elf64_Phdr))
    return std::nullopt;
  std::vector<Elf64_Phdr> segments(head.e_phnum);
  if (!read_at(file, head.e_phoff, segments.data(), segments.size())) return std::nullopt;
  Object out{path, {}, "", "", head.e_machine};
  const auto dynamic = std::find_if(segments.begin(), segments.end(), [](const Elf64_Phdr& p) { return p.p_type == PT_DYNAMIC; });
  if (dynamic == segments.end()) return out;
  if (dynamic->p_filesz > most_strings) return std::nullopt;
  std::vector<Elf64_Dyn> entries(dynamic->p_filesz / sizeof(Elf64_Dyn));
  if (!read_at(file, dynamic->p_offset, entries.data(), entries.size())) return std::nullopt;
  std::uint64_t table = 0, bytes = 0;
  for (const Elf64_Dyn& d : entries) {
    if (d.d_tag == DT_STRTAB) table = d.d_un.d_ptr;
    if (d.d_tag == DT_STRSZ) bytes = d.d_un.d_val;
  }
  const auto holds = [&](const Elf64_Phdr& p) { return p.p_type == PT_LOAD && table >= p.p_vaddr && table - p.p_vaddr < p.p_filesz; };
  const auto segment = std::find_if(segments.begin(), segments.end(), holds);
  if (segment == segments.end() || bytes == 0 || bytes > most_strings) return std::nullopt;
  std::string strings(bytes, '\0');
  if (!read_at(file, segment->p_offset + (table - segment->p_vaddr), strings.data(), strings.size())) return std::nullopt;
  const auto text = [&](std::uint64_t at) { return at < strings.size() ? std::string(strings.c_str() + at) : std::string(); };
  for (const Elf64_Dyn& d : entries) {
    if (d.d_tag == DT_NULL) break;
    if (d.d_tag == DT_NEEDED) out.needed.push_back(text(d.d_un.d_val));
    if (d.d_tag == DT_RPATH) out.rpath = text(d.d_un.d_val);
    if (d.d_tag == DT_RUNPATH) out.runpath = text(d.d_un.d_val);
  }
  return out;
}

// Folders of a list, with $ORIGIN in place.
std::vector<std::string> folders_of(const std::string& list, const std::string& owner) {
  std::vector<std::string> out;
  std::istringstream parts(list);
  const std::string origin = fs::path(owner).parent_path().string();
  for (std::string part; std::getline(parts, part, ':');) {
    for (const char* name : {"$ORIGIN", "${ORIGIN}"})
      for (std::size_t at; (at = part.find(name)) != std::string::npos;) part.replace(at, std::strlen(name), origin);
    out.push_back(part.empty() ? "." : part);
  }
  return out;
}

// Where ldconfig saw a library of this name: entries of /etc/ld.so.cache.
std::vector<std::string> cached(const std::string& name) {
  static const std::string cache = [] {
    std::ifstream file("/etc/ld.so.cache", std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
  }();
  constexpr std::string_view magic = "glibc-ld.so.cache1.1";
  constexpr std::size_t header = 48, entry = 24;
  const std::size_t start = cache.find(magic);
  std::vector<std::string> out;
  if (start == std::string::npos || cache.size() < start + header) return out;
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    if (at + sizeof value <= cache.size()) std::memcpy(&value, cache.data() + at, sizeof value);
    return value;
  };
  const auto text = [&](std::uint32_t at) {
    return start + at < cache.size() ? std::string(cache.c_str() + start + at) : std::string();
  };
  const std::uint32_t count = number(start + magic.size());
  for (std::size_t i = 0; i < count && start + header + (i + 1) * entry <= cache.size(); ++i) {
    const std::size_t at = start + header + i * entry;
    if (text(number(at + 4)) == name) out.push_back(text(number(at + 8)));
  }
  return out;
}

// The folders that /etc/ld.so.conf names, which is where the cache looks.
void configured(const std::string& file, std::vector<std::string>& out, int depth = 0) {
  std::ifstream in(file);
  for (std::string line; depth < 8 && std::getline(in, line);) {
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    std::string word;
    if (!(words >> word)) continue;
    if (word != "include") {
      out.push_back(word);
      continue;
    }
    for (std::string pattern; words >> pattern;) {
      glob_t found{};
      if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
        for (std::size_t i = 0; i < found.gl_pathc; ++i) configured(found.gl_pathv[i], out, depth + 1);
      ::globfree(&found);
    }
  }
}

std::string remedy(const std::string& name) {
  struct Row {
    const char *prefix, *how;
  };
  static constexpr Row rows[] = {
      {"libOpenCL.so", "apt install ocl-icd-libopencl1, and a driver: pocl-opencl-icd for the CPU, or that of the GPU's maker"},
      {"libcuda.so", "install NVIDIA's driver (Debian: apt install nvidia-driver libcuda1)"},
      {"libcudart.so", "apt install cuda-cudart of NVIDIA's repository, or pip install nvidia-cuda-runtime"},
      {"libcudnn", "apt install libcudnn9 of NVIDIA's repository, or pip install nvidia-cudnn"},
      {"libcublas", "apt install libcublas of NVIDIA's repository, or pip install nvidia-cublas"},
      {"libnvrtc", "apt install cuda-nvrtc of NVIDIA's repository, or pip install nvidia-cuda-nvrtc"},
      {"libze_loader.so", "apt install libze1 (level-zero) and the GPU's driver"},
      {"libvulkan.so", "apt install libvulkan1"},
      {"libamdhip64.so", "install ROCm's HIP runtime"},
      {"libgomp.so", "apt install libgomp1"},
      {"libomp.so", "apt install libomp5"},
      {"libstdc++.so", "apt install libstdc++6; \"version GLIBCXX not found\" means that a newer one is needed"},
      {"libgcc_s.so", "apt install libgcc-s1"},
      {"libtbb.so", "apt install libtbb12"},
      {"libdnnl.so", "apt install libdnnl3, or build oneDNN"},
      {"libopenblas.so", "apt install libopenblas0"},
      {"libgfortran.so", "apt install libgfortran5"},
      {"libnuma.so", "apt install libnuma1"},
      {"libhwloc.so", "apt install libhwloc15"},
      {"libjpeg.so", "apt install libjpeg62-turbo"},
      {"libpng16.so", "apt install libpng16-16"},
      {"libwebp.so", "apt install libwebp7"},
      {"libtiff.so", "apt install libtiff6"},
      {"libopenjp2.so", "apt install libopenjp2-7"},
      {"libz.so", "apt install zlib1g"},
      {"libprotobuf.so", "apt install libprotobuf32"},
      {"libtenon.so", "install tenon's library, or put its folder into LD_LIBRARY_PATH"},
  };
  for (const Row& row : rows)
    if (name.starts_with(row.prefix)) return row.how;
  return fmt::format("apt-file search {} names the package (apt install apt-file); then apt install it", name);
}

class Search {
 public:
  std::vector<MissingLibrary> missing;

  void follow(const Object& object, const std::string& inherited) {
    // RPATH counts where there is no RUNPATH, and is handed on to what is loaded because of it.
    const std::string rpath =
        object.runpath.empty() ? object.rpath + (object.rpath.empty() || inherited.empty() ? "" : ":") + inherited : "";
    for (const std::string& name : object.needed) look(name, object, rpath);
  }
  void look(const std::string& name, const Object& by, const std::string& rpath) {
    if (name.empty() || seen_.size() > most_files || !seen_.insert(name).second) return;
    std::vector<std::string> searched;
    std::optional<Object> found = find(name, by, rpath, searched);
    if (found) return follow(*found, rpath);
    missing.push_back({name, by.path, std::move(searched), remedy(name)});
  }

 private:
  static std::optional<Object> open(const std::string& path, const Object& by, std::vector<std::string>& searched) {
    std::error_code code;
    if (!fs::exists(path, code)) return std::nullopt;
    std::optional<Object> object = read_object(path);
    if (object && (by.machine == 0 || object->machine == by.machine)) return object;
    searched.push_back(fmt::format("{} is for another machine, or no library", path));
    return std::nullopt;
  }
  static std::optional<Object> find(const std::string& name, const Object& by, const std::string& rpath,
                                    std::vector<std::string>& searched) {
    if (name.find('/') != std::string::npos) return open(name, by, searched);
    const auto in = [&](const std::string& list, const std::string& owner, const char* rule) -> std::optional<Object> {
      for (const std::string& folder : folders_of(list, owner)) {
        searched.push_back(fmt::format("{} {}", rule, folder));
        if (auto object = open(folder + "/" + name, by, searched)) return object;
      }
      return std::nullopt;
    };
    if (auto object = in(rpath, by.path, "RPATH")) return object;
    const char* own = std::getenv("LD_LIBRARY_PATH");
    if (!own || !*own) searched.emplace_back("LD_LIBRARY_PATH is not set");
    else if (auto object = in(own, by.path, "LD_LIBRARY_PATH")) return object;
    if (auto object = in(by.runpath, by.path, "RUNPATH")) return object;
    for (const std::string& path : cached(name))
      if (auto object = open(path, by, searched)) return object;
    std::vector<std::string> folders;
    configured("/etc/ld.so.conf", folders);
    std::string list;
    for (const std::string& folder : folders) list += (list.empty() ? "" : ", ") + folder;
    searched.push_back(fmt::format("/etc/ld.so.cache, which ldconfig makes of /etc/ld.so.conf ({})", list.empty() ? "nothing" : list));
    return in("/lib64:/usr/lib64:/lib:/usr/lib", by.path, "default");
  }
  std::set<std::string> seen_;
};

}  // namespace

std::vector<MissingLibrary> missing_libraries(const std::string& file, const std::vector<std::string>& opened) {
  const std::optional<Object> object = read_object(file);
  if (!object) return {};
  Search search;
  search.follow(*object, "");
  for (const std::string& name : opened) search.look(name, *object, object->runpath.empty() ? object->rpath : "");
  return std::move(search.missing);
}

}  // namespace tenon::cli
