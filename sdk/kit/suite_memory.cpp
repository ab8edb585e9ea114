// memory: nothing is read or written outside of what a step was given, results do not depend on what memory held, nothing grows.
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "sdk/kit/subject.h"

namespace tenon::kit {
namespace {

// A tensor whose last byte is the last before memory that cannot be touched. REQUIRES a size that is a multiple of 64 bytes, so
// that its first byte is aligned as well as core asks for.
class Fenced {
 public:
  explicit Fenced(const Value& from) : bytes_(from.size_bytes()) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), pages = (bytes_ + page - 1) / page + 1;
    size_ = pages * page;
    memory_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED) throw Broken("the kit has no memory");
    data_ = memory_ + size_ - page - bytes_;
    std::memcpy(data_, from.bytes(), bytes_);
    mprotect(memory_ + size_ - page, page, PROT_NONE);
    value = Value(detail::out<tenon_datum>(&tenon_datum_borrow_tensor, from.dtype(), from.dims().data(), from.dims().size(),
                                           static_cast<void*>(data_), bytes_, static_cast<void (*)(void*)>(nullptr),
                                           static_cast<void*>(nullptr)));
  }
  ~Fenced() { munmap(memory_, size_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  void read_only() { mprotect(memory_, size_ - static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_READ); }
  Value value;

 private:
  std::size_t bytes_, size_ = 0;
  char *memory_ = nullptr, *data_ = nullptr;
};

void fenced_operands(Subject& s) {
  const Subject::Work work = s.work(64);
  const Session session = s.tested(work.model);
  const Outputs expected = run(Subject::oracle(work.model), work.feeds);
  Fenced in(work.feeds[0].value), out(expected[0]);
  std::memset(const_cast<void*>(out.value.bytes()), 0xff, out.value.size_bytes());
  in.read_only();
  const std::vector<Feed> feeds{{work.feeds[0].name, in.value}};
  std::vector<Feed> results{{"y", out.value}};
  for (int i = 0; i < 3; ++i) session.run_into(feeds, results);
  const std::string text = difference(out.value, expected[0]);
  expect(text.empty(), fmt::format("{}: inputs and outputs that end where memory ends: {}", work.what, text));
}

void guarded_temps(Subject& s) {
  const Subject::Work work = s.work();
  s.watch().stepwise = true;
  const Session session = s.tested(work.model, {{"/session/threads", "1"}});
  Subject::check(session, work, "one step at a time");
  if (s.watch().guarded_temps == 0) throw NotClaimed("its temps for this model are not in host memory, or there are none");
}

void poisoned_temps(Subject& s) {
  const Subject::Work work = s.work();
  s.watch().stepwise = true;
  const Session session = s.tested(work.model, {{"/session/threads", "1"}});
  (void)run(session, work.feeds);
  if (s.watch().guarded_temps == 0) throw NotClaimed("its temps for this model are not in host memory, or there are none");
  std::vector<Outputs> results;
  for (const int poison : {0x00, 0xff, 0x7f}) {
    s.watch().poison = poison;
    results.push_back(run(session, work.feeds));
    const std::string text = bitwise_difference(results.back()[0], results.front()[0]);
    expect(text.empty(), fmt::format("{}: the result depends on what memory held before a step wrote it ({:#04x}, 0x00): {}",
                                     work.what, poison, text));
  }
}

void inputs_stay(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  const auto* bytes = static_cast<const char*>(work.feeds[0].value.bytes());
  const std::string before(bytes, work.feeds[0].value.size_bytes());
  for (int i = 0; i < 3; ++i) (void)run(session, work.feeds);
  expect(std::memcmp(before.data(), bytes, before.size()) == 0, fmt::format("{}: a run changes its input", work.what));
}

void nothing_grows(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  for (int i = 0; i < 5; ++i) (void)run(session, work.feeds);
  const std::int64_t before = s.watch().alive.total();
  for (int i = 0; i < 50; ++i) (void)run(session, work.feeds);
  expect(s.watch().alive.total() == before, fmt::format("{}: {} objects after 5 runs, {} after 55: {}", work.what, before,
                                                        s.watch().alive.total(), s.watch().alive.text()));
}

// What the device says of its memories and the ways between them.
struct Memory {
  std::uint32_t domain = 0, to = 0, from = 0;
  tenon_domain info{};
};
Memory own_memory(Subject& s) {
  tenon_span devices{};
  expect(!s.watch().api->enumerate(s.watch().provider, &devices), "enumerate fails");
  for (std::uint64_t d = 0; d < devices.count; ++d) {
    const auto& device = *reinterpret_cast<const tenon_device_info*>(static_cast<const char*>(devices.data) + d * devices.stride);
    for (std::uint32_t i = 0; i < device.domains.count; ++i) {
      Memory m;
      m.domain = i;
      m.info = *reinterpret_cast<const tenon_domain*>(static_cast<const char*>(device.domains.data) + i * device.domains.stride);
      if (std::string_view(m.info.uid.data, m.info.uid.size) == "host") continue;
      int found = 0;
      for (std::uint32_t r = 0; r < device.routes.count; ++r) {
        const auto& route =
            *reinterpret_cast<const tenon_route*>(static_cast<const char*>(device.routes.data) + r * device.routes.stride);
        if (route.from_domain == TENON_ROUTE_HOST && route.to_domain == i) m.to = r, found |= 1;
        if (route.to_domain == TENON_ROUTE_HOST && route.from_domain == i) m.from = r, found |= 2;
      }
      expect(found == 3, "a memory of the device has no routes to and from the host");
      return m;
    }
  }
  throw NotClaimed("it works in host memory");
}

void check_status(tenon_status* status, const std::string& what) {
  if (!status) return;
  const Error e(tenon_status_code(status), tenon_status_text(status));
  tenon_status_release(status);
  throw Broken(fmt::format("{} fails with {}: {}", what, e.code_name(), e.what()));
}

void buffers(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  const Memory m = own_memory(s);
  const tenon_provider_api& api = *s.watch().api;
  tenon_device* device = s.watch().device;
  Random random(3);
  for (const std::uint64_t bytes :
       {std::uint64_t{1}, std::uint64_t{4}, std::uint64_t{63}, std::uint64_t{4096}, std::uint64_t{4097}, std::uint64_t{1} << 20}) {
    tenon_buffer* buffer = nullptr;
    check_status(api.buffer_alloc(device, m.domain, bytes, m.info.base_align, &buffer), fmt::format("buffer_alloc of {} bytes", bytes));
    void* handle = api.buffer_handle(device, buffer);
    std::vector<unsigned char> out(bytes), in(bytes, 0);
    for (unsigned char& c : out) c = static_cast<unsigned char>(random());
    const auto host = [](std::vector<unsigned char>& v, std::uint64_t offset, std::uint64_t n) {
      return tenon_address{v.data(), offset, n};
    };
    tenon_address there{handle, 0, bytes}, src = host(out, 0, bytes), dst = host(in, 0, bytes);
    check_status(api.copy(device, m.to, nullptr, &there, &src, bytes), "a copy to the device");
    check_status(api.copy(device, m.from, nullptr, &dst, &there, bytes), "a copy from the device");
    expect(in == out, fmt::format("{} bytes come back changed from the device", bytes));
    if (const std::uint64_t unit = std::max<std::uint64_t>(m.info.base_align, 4);
        bytes >= 3 * unit) {  // a piece from the middle to another place
      src = host(out, unit, unit), there = {handle, 2 * unit, unit};
      check_status(api.copy(device, m.to, nullptr, &there, &src, unit), "a copy to an offset");
      there = {handle, 0, bytes};
      check_status(api.copy(device, m.from, nullptr, &dst, &there, bytes), "a copy from the device");
      std::memcpy(out.data() + 2 * unit, out.data() + unit, unit);
      expect(in == out, fmt::format("a copy of {} bytes to offset {} changed something else", unit, 2 * unit));
    }
    api.buffer_free(device, buffer);
  }
}

void buffer_too_large(Subject& s) {
  const Subject::Work work = s.work();
  const Session session = s.tested(work.model);
  const Memory m = own_memory(s);
  tenon_buffer* const untouched = reinterpret_cast<tenon_buffer*>(std::uintptr_t{0x5a5a});
  tenon_buffer* buffer = untouched;
  tenon_status* status = s.watch().api->buffer_alloc(s.watch().device, m.domain, std::uint64_t{1} << 60, m.info.base_align, &buffer);
  expect(status, "buffer_alloc of 2^60 bytes succeeds");
  const std::int32_t code = tenon_status_code(status);
  tenon_status_release(status);
  expect(buffer == untouched, "buffer_alloc failed and wrote to its out-parameter");
  expect(code == TENON_RESOURCE_EXHAUSTED,
         fmt::format("buffer_alloc of 2^60 bytes fails with {}, RESOURCE_EXHAUSTED is expected", tenon_code_name(code)));
  Subject::check(session, work, "after a buffer that could not be had");
}

}  // namespace

void add_memory(std::vector<Case>& cases) {
  const std::pair<const char*, void (*)(Subject&)> all[] = {{"operands_where_memory_ends", fenced_operands},
                                                            {"temps_with_guards", guarded_temps},
                                                            {"temps_with_poison", poisoned_temps},
                                                            {"inputs_stay", inputs_stay},
                                                            {"nothing_grows", nothing_grows},
                                                            {"buffers_and_copies", buffers},
                                                            {"buffer_too_large", buffer_too_large}};
  for (const auto& [name, body] : all) cases.push_back({"memory", name, body});
}

}  // namespace tenon::kit
