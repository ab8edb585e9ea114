// A provider that does wrong in one way: that of the folder it lies in. A host must refuse each with a reason and go on.
// tests/plugins/README.md lists the ways.
#include "every_entry.h"
#include "hostile.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

namespace hostile {

namespace {

const std::filesystem::path& folder() {
  static const std::filesystem::path mine = [] {
    Dl_info info{};
    ::dladdr(reinterpret_cast<const void*>(&is), &info);
    return std::filesystem::absolute(info.dli_fname).parent_path();
  }();
  return mine;
}

}  // namespace

bool is(std::string_view way) {
  static const std::string mine = folder().filename().string();
  return way == mine;
}

// Does not return before there is a file "return" in that folder.
void hang() {
  for (const std::string until = (folder() / "return").string(); ::access(until.c_str(), F_OK) != 0;) ::usleep(1000);
}

// Before each call of a function of the table.
void before(const char* entry) {
  if (const char* asked = std::getenv("TENON_TEST_HOSTILE_THROW"); asked && std::string_view(asked) == entry) throw std::runtime_error(std::string("boom in ") + entry);
  if (is(std::string("hang_in_") + entry)) hang();
}

void misbehave_when_loaded() {
  if (const char* mark = std::getenv("TENON_TEST_PLANTED"); mark && is("planted"))
    if (const int fd = ::open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); fd >= 0) ::close(fd);
  if (is("constructor_throws")) throw std::runtime_error("boom in a constructor");
  if (is("constructor_aborts")) std::abort();
  if (is("constructor_crashes")) *static_cast<volatile int*>(nullptr) = 1;
  if (is("constructor_exits")) std::exit(0);
  if (is("constructor_hangs"))
    for (;;) ::sleep(1);
}
const int at_load = (misbehave_when_loaded(), 0);

Kernels& provider() {
  static Kernels* made = [] {
    Kernel relu{"", "Relu", nullptr, nullptr, [](const Call& c) {
                  misbehave_in_kernel();
                  for (std::int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0].as<float>()[i] = std::max(0.0f, c.inputs[0].as<float>()[i]);
                }};
    auto* k = new Kernels("hostile", "1.0", {relu});
    if (is("hang_in_fingerprint") || is("binds")) k->api.fingerprint = [](tenon_device*, char*, std::uint64_t, std::uint64_t* length) -> tenon_status* { return *length = 0, nullptr; };
    if (is("hang_in_get_extension") || is("binds")) k->api.get_extension = [](tenon_provider*, tenon_str, std::uint32_t) -> const void* { return nullptr; };
    spoil_devices(k->api);
    spoil_query(k->api);
    spoil_program(k->api);
    return k;
  }();
  return *made;
}

}  // namespace hostile

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  using namespace hostile;
  if (is("refuse_host")) return tenon_refuse(args, "only on Sundays"), nullptr;
  if (is("silent_refusal")) return nullptr;
  if (is("entry_hangs")) hang();
  if (is("entry_crashes")) *static_cast<volatile int*>(nullptr) = 1;
  const tenon_provider_desc* good = provider().describe(args);
  if (!good) return nullptr;
  static tenon_provider_desc desc;
  static tenon_provider_api api;
  desc = *good;
  api = *good->api;
  desc.api = &api;
  if (is("wrong_major")) desc.abi_major = TENON_ABI_MAJOR + 1;
  if (is("newer_minor")) desc.abi_minor = TENON_ABI_MINOR + 1;
  if (is("wrong_hash")) desc.header_hash ^= 1;
  if (is("wrong_sanitizer")) desc.sanitizer = 9;
  if (is("wrong_id")) desc.id = str("somebody_else");
  if (is("no_id")) desc.id = {nullptr, 0};
  if (is("unknown_feature")) desc.features_required = std::uint64_t{1} << 60;
  if (is("short_struct")) desc.struct_size = 12;
  if (is("short_table")) api.struct_size = offsetof(tenon_provider_api, query);
  if (is("tiny_table")) api.struct_size = 4;
  if (is("missing_function")) api.execute = nullptr;
  if (is("plan_destroy_missing")) api.plan_destroy = nullptr;
  if (is("half_buffers")) api.buffer_alloc = [](tenon_device*, std::uint32_t, std::uint64_t, std::uint64_t, tenon_buffer**) -> tenon_status* { return nullptr; };
  if (is("half_streams")) api.stream_create = [](tenon_device*, void*, tenon_stream**) -> tenon_status* { return nullptr; };
  if (is("throw_in_program_destroy")) {
    static const auto destroy = good->api->program_destroy;
    api.program_destroy = [](tenon_program* program) {
      destroy(program);
      throw std::runtime_error("boom in program_destroy");
    };
  }
  if (is("binds")) add_bindings(api);
  every_entry::wrap(api, before);
  if (is("no_table")) desc.api = nullptr;
  return &desc;
}
