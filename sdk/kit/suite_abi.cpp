// abi: the library and what its one entry answers to hosts of every age. Nothing of the provider is created.
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <tenon/provider.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

using Entry = const tenon_provider_desc* (*)(const tenon_query_args*);

std::string text(tenon_str s) { return s.data ? std::string(s.data, s.size) : std::string(); }

Entry entry_of(const Target& target) {
  void* library = dlopen(target.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Broken(dlerror());
  void* symbol = dlsym(library, "tenon_provider_query");
  expect(symbol, "the library does not export tenon_provider_query");
  return reinterpret_cast<Entry>(symbol);
}

// A host that offers these minors. Behind the arguments lies what a newer host may have there, behind the error text a canary.
struct Host {
  struct Longer {
    tenon_query_args args;
    unsigned char newer[64];
  } longer{};
  char error[96];

  Host(std::uint32_t major, std::uint32_t minor_min, std::uint32_t minor_max) {
    std::memset(static_cast<void*>(&longer), 0xee, sizeof longer);
    std::memset(error, 0x7e, sizeof error);
    tenon_query_args args{};
    args.struct_size = minor_max > TENON_ABI_MINOR ? sizeof longer : sizeof args;
    args.abi_major = major;
    args.minor_min = minor_min;
    args.minor_max = minor_max;
    args.header_hash = TENON_ABI_HEADER_HASH;
    args.host_version = {"kit", 3};
    args.error = error;
    args.error_capacity = 64;
    longer.args = args;
  }
  const tenon_provider_desc* ask(Entry entry) {
    const tenon_provider_desc* desc = entry(&longer.args);
    for (std::size_t i = longer.args.error ? longer.args.error_capacity : 0; i < sizeof error; ++i)
      expect(error[i] == 0x7e, "the reason was written past error_capacity");
    return desc;
  }
};

const tenon_provider_desc* describe(const Target& target) {
  static Host host(TENON_ABI_MAJOR, 0, TENON_ABI_MINOR);
  const tenon_provider_desc* desc = host.ask(entry_of(target));
  if (!desc)
    throw Broken(fmt::format("tenon_provider_query refuses a host of ABI {}.0 to {}.{}: {}", TENON_ABI_MAJOR, TENON_ABI_MAJOR,
                             TENON_ABI_MINOR, host.error));
  return desc;
}

std::size_t entries_in(const char* folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

void exports(Subject& s) {
  (void)entry_of(s.target());
  std::ifstream file(s.target().library, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto at = [&]<class T>(std::uint64_t offset, T) {
    expect(offset + sizeof(T) <= bytes.size(), "the library's ELF headers are damaged");
    T out;
    std::memcpy(&out, bytes.data() + offset, sizeof out);
    return out;
  };
  const auto header = at(0, Elf64_Ehdr{});
  std::string strange;
  for (int i = 0; i < header.e_shnum; ++i) {
    const auto section = at(header.e_shoff + static_cast<std::uint64_t>(i) * header.e_shentsize, Elf64_Shdr{});
    if (section.sh_type != SHT_DYNSYM) continue;
    const auto names = at(header.e_shoff + std::uint64_t{section.sh_link} * header.e_shentsize, Elf64_Shdr{});
    for (std::uint64_t o = sizeof(Elf64_Sym); o < section.sh_size; o += sizeof(Elf64_Sym)) {
      const auto symbol = at(section.sh_offset + o, Elf64_Sym{});
      if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || symbol.st_shndx == SHN_ABS) continue;
      const std::string name(bytes.c_str() + std::min<std::uint64_t>(names.sh_offset + symbol.st_name, bytes.size()));
      if (!name.starts_with("tenon_")) strange += (strange.empty() ? "" : ", ") + name;
    }
  }
  if (strange.size() > 300) strange = strange.substr(0, 300) + " ...";
  expect(strange.empty(), fmt::format("exported besides tenon_*, where it can clash with the application's own: {}\nlink with a "
                                      "version script or -fvisibility=hidden",
                                      strange));
}

void pure(Subject& s) {
  const Entry entry = entry_of(s.target());
  const std::size_t threads = entries_in("/proc/self/task"), files = entries_in("/proc/self/fd");
  const tenon_provider_desc first = *describe(s.target());
  for (int i = 0; i < 3; ++i) {
    const tenon_provider_desc* again = Host(TENON_ABI_MAJOR, 0, TENON_ABI_MINOR).ask(entry);
    expect(again && text(again->id) == text(first.id) && again->api && again->abi_minor == first.abi_minor,
           "tenon_provider_query answers differently when it is asked again");
  }
  expect(entries_in("/proc/self/task") == threads, "tenon_provider_query starts a thread");
  expect(entries_in("/proc/self/fd") == files, "tenon_provider_query leaves a file open");
}

void description(Subject& s) {
  const tenon_provider_desc& d = *describe(s.target());
  expect(d.struct_size >= sizeof d,
         fmt::format("the description says it has {} bytes, at least {} are expected", d.struct_size, sizeof d));
  expect(d.abi_major == TENON_ABI_MAJOR, fmt::format("abi_major is {}, {} is expected", d.abi_major, TENON_ABI_MAJOR));
  expect(d.sanitizer == TENON_SANITIZER, "built with another sanitizer than this tenon");
  expect(!text(d.id).empty(), "the id is empty");
  expect(text(d.id).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") == std::string::npos,
         fmt::format("the id \"{}\" has other characters than a-z, 0-9, '.', '_' and '-'", text(d.id)));
  expect(!text(d.version).empty(), "the version is empty");
  expect(d.opsets.count == 0 || d.opsets.stride >= sizeof(tenon_opset), "opsets have a stride below the size of tenon_opset");
}

void same_as_manifest(Subject& s) {
  if (s.target().manifest.empty()) throw NotClaimed("there is no manifest beside the library: discovery will not find it");
  const tenon_provider_desc& d = *describe(s.target());
  const std::string library = std::filesystem::path(s.target().library).filename().string();
  std::ifstream file(s.target().manifest);
  const std::string manifest((std::istreambuf_iterator<char>(file)), {});
  expect(manifest.find("\"" + text(d.id) + "\"") != std::string::npos,
         fmt::format("the library's id \"{}\" does not stand in the manifest", text(d.id)));
  expect(text(d.version) == s.target().version,
         fmt::format("the library has version \"{}\", the manifest \"{}\"", text(d.version), s.target().version));
}

void functions(Subject& s) {
  const tenon_provider_desc& d = *describe(s.target());
  expect(d.api, "the description has no table of functions");
  tenon_provider_api a{};
  std::memcpy(static_cast<void*>(&a), d.api, std::min<std::size_t>(d.api->struct_size, sizeof a));
  const std::pair<const char*, bool> required[] = {{"create", a.create},
                                                   {"destroy", a.destroy},
                                                   {"enumerate", a.enumerate},
                                                   {"device_open", a.device_open},
                                                   {"device_close", a.device_close},
                                                   {"query", a.query},
                                                   {"compile", a.compile},
                                                   {"program_destroy", a.program_destroy},
                                                   {"execute", a.execute}};
  for (const auto& [name, there] : required) expect(there, fmt::format("the required function {} is missing", name));
  expect(!a.program_plan || a.plan_destroy, "program_plan without plan_destroy");
  expect(!a.plan_bind || (a.program_plan && a.binding_update && a.binding_destroy),
         "plan_bind without program_plan, binding_update and binding_destroy");
  expect(!a.buffer_alloc || (a.buffer_free && a.buffer_handle && a.copy), "buffer_alloc without buffer_free, buffer_handle and copy");
  expect(!a.stream_create || (a.stream_destroy && a.stream_sync), "stream_create without stream_destroy and stream_sync");
  expect(!a.event_create || (a.event_destroy && a.event_record && a.event_host_wait),
         "event_create without event_destroy, event_record and event_host_wait");
}

void every_minor(Subject& s) {
  const Entry entry = entry_of(s.target());
  const std::uint32_t own = describe(s.target())->abi_minor;
  for (std::uint32_t minor = 0; minor <= TENON_ABI_MINOR; ++minor) {
    Host host(TENON_ABI_MAJOR, 0, minor);
    const tenon_provider_desc* d = host.ask(entry);
    if (d) expect(d->abi_minor <= minor, fmt::format("a host of minor 0 to {} is answered with minor {}", minor, d->abi_minor));
    else expect(host.error[0] != 0x7e && host.error[0], fmt::format("a host of minor 0 to {} is refused without a reason", minor));
  }
  Host future(TENON_ABI_MAJOR, 0, TENON_ABI_MINOR + 7);
  future.longer.args.host_features = ~std::uint64_t{0};
  const tenon_provider_desc* d = future.ask(entry);
  expect(d, fmt::format("a newer host, of minors 0 to {}, is refused", TENON_ABI_MINOR + 7));
  expect(d->abi_minor == own,
         fmt::format("a newer host is answered with minor {}, {} is what the provider was built for", d->abi_minor, own));
}

void too_new_or_old(Subject& s) {
  const Entry entry = entry_of(s.target());
  for (const std::uint64_t capacity : {std::uint64_t{64}, std::uint64_t{8}, std::uint64_t{1}, std::uint64_t{0}}) {
    Host other(TENON_ABI_MAJOR + 1, 0, 3);
    other.longer.args.error_capacity = capacity;
    expect(!other.ask(entry), fmt::format("a host of major {} is accepted", TENON_ABI_MAJOR + 1));
    if (capacity > 1) expect(std::memchr(other.error, 0, capacity), "the reason of a refusal is missing or has no end");
  }
  Host mute(TENON_ABI_MAJOR + 1, 0, 3);
  mute.longer.args.error = nullptr;
  expect(!mute.ask(entry), "a host of another major without a place for the reason is accepted");
  Host later(TENON_ABI_MAJOR, describe(s.target())->abi_minor + 1, TENON_ABI_MINOR + 9);
  expect(!later.ask(entry), "a host that no longer speaks the provider's minor is accepted");
  expect(describe(s.target()), "after refusals the provider answers no more");
}

}  // namespace

void add_abi(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"exports", exports},
                                                            {"entry_is_pure", pure},
                                                            {"description", description},
                                                            {"manifest", same_as_manifest},
                                                            {"functions", functions},
                                                            {"host_of_every_minor", every_minor},
                                                            {"host_too_new_or_old", too_new_or_old}};
  for (const auto& [name, body] : all) cases.push_back({"abi", name, body, false, false});
}

}  // namespace tenon::kit
