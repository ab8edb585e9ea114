// A provider for tests whose devices work later than they are asked to: it finds waits that core leaves out.
//
// Four devices. "async:lazy" does its work only when somebody waits, "async:late" on a thread after random pauses; both
// name the memory "async:memory", whose buffers are small, and one sync family with events. "async:other" is lazy and has a
// memory of its own; "async:host" is late and works in the host's; these two share a native stream where both are used.
// A node whose name begins with "late_", "other_" or "host_" goes to that device, every other one to the first, or, with
// the option "all", to whichever device is asked.
//
// Every value begins at a multiple of 256 bytes, as there are no views. Memory is never what it was before: buffers come and go full of garbage, and what touches a freed one fails. A device
// that is closed while its buffers, streams or events live ends the process. TENON_TEST_ASYNC_FAIL=n in the environment
// lets the n-th call fail that may fail in a run, counted from when it was set; with TENON_TEST_ASYNC_LOST it is for good.
// TENON_TEST_ASYNC_THROW=function lets that function of the table throw, TENON_TEST_ASYNC_HANG=function:file not return before
// there is such a file.
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>

#include <unistd.h>

#include "async_kernels.h"
#include "async_queue.h"
#include "every_entry.h"

namespace {

using namespace async;

constexpr unsigned char garbage = 0x5b;
constexpr std::uint64_t base_align = 256;

struct Device {
  std::uint32_t index = 0;
  std::atomic<int> live{0};  // buffers, streams and events
};
struct Buffer {
  std::vector<unsigned char> bytes;
  std::atomic<bool> freed{false};
};
struct Stream {
  Device* device = nullptr;
  std::shared_ptr<Queue> queue;
  bool lends = false;  // its queue to streams of other devices
};

// All buffers that ever were: handles are looked up here, so that one is told from an address of the host.
struct Buffers {
  std::mutex mutex;
  std::unordered_map<const void*, std::unique_ptr<Buffer>> all;

  Buffer* find(const void* handle) {
    std::lock_guard lock(mutex);
    const auto found = all.find(handle);
    return found == all.end() ? nullptr : found->second.get();
  }
};
Buffers& buffers() {
  static Buffers* made = new Buffers;
  return *made;
}

// Raises where it is this call's turn to fail.
void may_fail(const char* function) {
  static std::mutex mutex;
  static std::string set;
  static int left = 0;
  std::lock_guard lock(mutex);
  const char* now = std::getenv("TENON_TEST_ASYNC_FAIL");
  if (set != (now ? now : "")) set = now ? now : "", left = std::atoi(set.c_str());
  if (left > 0 && --left == 0)
    raise(std::getenv("TENON_TEST_ASYNC_LOST") ? TENON_DEVICE_LOST : TENON_RESOURCE_EXHAUSTED, std::string(function) + " was told to fail");
}

// Before each call of a function of the table.
void before(const char* entry) {
  const auto asked = [entry](const char* variable) -> std::string {
    const char* value = std::getenv(variable);
    const std::string text = value ? value : "", name = entry;
    return text.starts_with(name) && (text.size() == name.size() || text[name.size()] == ':') ? text.substr(std::min(text.size(), name.size() + 1)) + "!" : "";
  };
  if (!asked("TENON_TEST_ASYNC_THROW").empty()) throw std::runtime_error(std::string("boom in ") + entry);
  if (std::string file = asked("TENON_TEST_ASYNC_HANG"); !file.empty())
    for (file.pop_back(); ::access(file.c_str(), F_OK) != 0;) ::usleep(1000);
}

unsigned char* own(const tenon_address& a, std::uint64_t bytes) {
  Buffer* b = buffers().find(a.handle);
  if (!b) raise(TENON_INTERNAL, "an address of the host where one of the device is due");
  if (b->freed) raise(TENON_INTERNAL, "a buffer was used after it was freed");
  if (a.offset % base_align != 0) raise(TENON_INTERNAL, "an address inside of what the device can begin at");
  if (a.offset + bytes > b->bytes.size()) raise(TENON_INTERNAL, "an address beyond the end of its buffer");
  return b->bytes.data() + a.offset;
}

struct Async : Kernels {
  std::vector<Op> ops;
  tenon_domain domains[3]{};
  tenon_device_info devices[4]{};
  Device handles[4];
  // What Kernels does for them; set functions below put themselves in front.
  tenon_status* (*run_now)(tenon_program*, const tenon_execute_args*) = nullptr;
  tenon_status* (*compile_now)(tenon_device*, const tenon_part*, const tenon_compile_options*, tenon_program**) = nullptr;
  std::mutex mutex;
  struct Traits {
    std::uint32_t found = 0;  // the operand that NonZero makes, 0 without one
    bool plain = false;
  };
  std::unordered_map<const tenon_program*, Traits> traits;
  Traits traits_of(const tenon_program* program) {
    std::lock_guard lock(mutex);
    return traits[program];
  }

  explicit Async(std::vector<Op> all) : Kernels("async", "1.0", kernels_of(all)), ops(std::move(all)) {}
  static std::vector<Kernel> kernels_of(const std::vector<Op>& all) {
    std::vector<Kernel> out;
    for (const Op& o : all) out.push_back(o.kernel);
    return out;
  }
  tenon_status* status(const Failure& f) { return f.code == 0 ? nullptr : host_api()->status_new(host(), f.code, 0, str(f.text)); }
};
Async& provider();

template <class Fn>
tenon_status* entry(Fn&& fn) {
  return guarded(provider().host_api(), provider().host(), std::forward<Fn>(fn));
}
// Runs fn when the queue gets to it; without a queue now.
template <class Fn>
tenon_status* give(tenon_stream* stream, Fn fn) {
  const auto work = [fn = std::move(fn)]() -> Failure {
    try {
      fn();
      return {};
    } catch (const Error& e) {
      return {e.code, e.text};
    }
  };
  if (!stream) return provider().status(work());
  return entry([&] { reinterpret_cast<Stream*>(stream)->queue->give(work); });
}
std::shared_ptr<Queue>& queue(tenon_stream* s) { return reinterpret_cast<Stream*>(s)->queue; }
Event& event(tenon_event* e) { return *reinterpret_cast<Event*>(e); }

void query(const Device& device, const tenon_query& q, tenon_query_sink* sink) {
  const tenon_host_api& host = *provider().host_api();
  std::int32_t all = 0;
  (void)host.config_get(q.options, str("/all"), TENON_CONFIG_BOOL, &all);
  const std::uint32_t rest = all ? device.index : 0;
  const std::size_t count = Span<tenon_node>(q.graph->nodes).size();
  for (std::uint32_t n = 0; n < count; ++n) {
    const Node node(*q.graph, n);
    if (node.raw().flags & TENON_NODE_HOST_EVALUATED) continue;
    const std::uint32_t wanted = node.name().starts_with("late_") ? 1 : node.name().starts_with("other_") ? 2 : node.name().starts_with("host_") ? 3 : rest;
    const Op* op = nullptr;
    for (const Op& o : provider().ops)
      if (node.domain().empty() && o.kernel.op_type == node.op_type()) op = &o;
    std::optional<Refusal> no;
    if (!op || (!op->kernel.run && device.index == 3)) no = Refusal{TENON_REJECT_OP, "no kernel for this operator"};
    else if (wanted != device.index) no = Refusal{TENON_REJECT_CONFIG, "its name sends it to another device"};
    else no = op->kernel.supports(node);
    if (no) {
      host.reject(sink, n, no->reason, str(no->text));
      continue;
    }
    std::vector<tenon_operand_rule> rules;
    const auto ask = [&](std::uint32_t mask, const std::uint32_t* values, std::uint32_t size) {
      for (std::uint32_t i = 0; i < size; ++i)
        if (mask >> i & 1) rules.push_back({sizeof(tenon_operand_rule), values[i], TENON_PLACE_HOST, TENON_ALIAS_NONE, TENON_NO_VALUE, -1});
    };
    if (op->in_place) rules.push_back({sizeof(tenon_operand_rule), node.raw().outputs[0], TENON_PLACE_ANY, TENON_ALIAS_MUST, node.raw().inputs[0], -1});
    ask(op->host_inputs, node.raw().inputs, node.raw().input_count);
    ask(op->host_outputs, node.raw().outputs, node.raw().output_count);
    tenon_claim claim{};
    claim.struct_size = sizeof claim;
    claim.node_count = 1;
    claim.nodes = &n;
    claim.flags = op->flags;
    claim.est_ns = op->kernel.est_ns;
    claim.rules = {rules.data(), rules.size(), sizeof(tenon_operand_rule), 0};
    host.claim(sink, &claim);
  }
}

thread_local std::uint32_t found_operand = 0;

// NonZero: its own work waits for what it reads, so it is not left to the queue.
void non_zero(const Call& c) {
  const std::vector<float> x = load(c.inputs[0]);
  std::vector<std::int64_t> found;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (x[i] != 0) found.push_back(static_cast<std::int64_t>(i));
  const std::int64_t dims[2] = {1, static_cast<std::int64_t>(found.size())};
  tenon_address out{};
  if (tenon_status* s = c.host->alloc_output(c.task, found_operand, 2, dims, &out)) {
    c.host->status_free(s);
    raise(TENON_INTERNAL, "alloc_output failed");
  }
  if (!found.empty()) std::memcpy(static_cast<char*>(out.handle) + out.offset, found.data(), found.size() * 8);
}

tenon_status* execute(tenon_program* program, const tenon_execute_args* args) {
  if (tenon_status* failed = entry([] { may_fail("execute"); })) return failed;
  std::vector<tenon_address> addresses(args->addresses, args->addresses + args->address_count);
  const Async::Traits traits = provider().traits_of(program);
  plain = traits.plain;
  found_operand = traits.found;
  if (found_operand != 0 && args->stream) {
    Queue& q = *queue(args->stream);
    q.reach(q.mark());
    if (const Failure f = q.failure(); f.code != 0) return provider().status(f);
    return provider().run_now(program, args);
  }
  const auto run = [program, traits, copy = *args, addresses = std::move(addresses)] {
    plain = traits.plain;
    tenon_execute_args late = copy;
    late.addresses = addresses.data();
    if (tenon_status* s = provider().run_now(program, &late)) {
      const std::int32_t code = provider().host_api()->status_code(s);
      provider().host_api()->status_free(s);
      raise(code, "a kernel failed late");
    }
  };
  return give(args->stream, run);
}

void set_functions(tenon_provider_api& api) {
  api.enumerate = [](tenon_provider*, tenon_span* out) -> tenon_status* {
    *out = {provider().devices, 4, sizeof(tenon_device_info), 0};
    return nullptr;
  };
  api.device_close = [](tenon_device* device) {
    if (const int live = reinterpret_cast<Device*>(device)->live; live != 0) {
      std::fprintf(stderr, "async: a device is closed with %d buffers, streams or events alive\n", live);
      std::abort();
    }
  };
  api.device_open = [](tenon_provider*, std::uint64_t index, tenon_device** out) -> tenon_status* {
    *out = reinterpret_cast<tenon_device*>(&provider().handles[index]);
    return nullptr;
  };
  api.query = [](tenon_device* device, const tenon_query* q, tenon_query_sink* sink) {
    return entry([&] { query(*reinterpret_cast<Device*>(device), *q, sink); });
  };
  api.buffer_alloc = [](tenon_device* device, std::uint32_t, std::uint64_t bytes, std::uint64_t, tenon_buffer** out) {
    return entry([&] {
      may_fail("buffer_alloc");
      auto made = std::make_unique<Buffer>();
      made->bytes.assign(bytes, garbage);
      *out = reinterpret_cast<tenon_buffer*>(made.get());
      ++reinterpret_cast<Device*>(device)->live;
      std::lock_guard lock(buffers().mutex);
      buffers().all.emplace(made.get(), std::move(made));
    });
  };
  api.buffer_free = [](tenon_device* device, tenon_buffer* b) {
    reinterpret_cast<Buffer*>(b)->freed = true;
    --reinterpret_cast<Device*>(device)->live;
  };
  api.buffer_handle = [](tenon_device*, tenon_buffer* b) -> void* { return b; };
  api.copy = [](tenon_device*, std::uint32_t route, tenon_stream* stream, const tenon_address* dst, const tenon_address* src, std::uint64_t bytes) {
    if (tenon_status* s = entry([] { may_fail("copy"); })) return s;
    return give(stream, [route, to = *dst, from = *src, bytes] {
      const auto host = [](const tenon_address& a) { return static_cast<unsigned char*>(a.handle) + a.offset; };
      unsigned char* target = route == 0 ? own(to, bytes) : host(to);
      std::memcpy(target, route == 0 ? host(from) : own(from, bytes), bytes);
      invert(target, bytes);
    });
  };
  api.stream_create = [](tenon_device* device, void* native, tenon_stream** out) {
    return entry([&] {
      may_fail("stream_create");
      const std::uint32_t index = reinterpret_cast<Device*>(device)->index;
      auto made = std::make_unique<Stream>();
      made->device = reinterpret_cast<Device*>(device);
      ++made->device->live;
      made->queue = native ? *static_cast<std::shared_ptr<Queue>*>(native) : std::make_shared<Queue>(index % 2 == 0);
      made->lends = index >= 2;
      *out = reinterpret_cast<tenon_stream*>(made.release());
    });
  };
  api.stream_destroy = [](tenon_stream* s) {
    --reinterpret_cast<Stream*>(s)->device->live;
    delete reinterpret_cast<Stream*>(s);
  };
  api.stream_native = [](tenon_stream* s) -> void* { return reinterpret_cast<Stream*>(s)->lends ? &queue(s) : nullptr; };
  api.stream_sync = [](tenon_stream* s) {
    Queue& q = *queue(s);
    q.reach(q.mark());
    if (tenon_status* failed = entry([] { may_fail("stream_sync"); })) return failed;
    return provider().status(q.failure());
  };
  api.event_create = [](tenon_device* device, std::uint64_t, tenon_event** out) {
    return entry([&] {
      may_fail("event_create");
      auto made = std::make_unique<Event>();
      made->live = &reinterpret_cast<Device*>(device)->live;
      ++*made->live;
      *out = reinterpret_cast<tenon_event*>(made.release());
    });
  };
  api.event_destroy = [](tenon_event* e) {
    --*event(e).live;
    delete &event(e);
  };
  api.event_record = [](tenon_event* e, tenon_stream* s) {
    return entry([&] {
      may_fail("event_record");
      event(e).queue = queue(s);
      event(e).mark = queue(s)->mark();
    });
  };
  api.event_wait = [](tenon_event* e, tenon_stream* s) {
    if (tenon_status* failed = entry([] { may_fail("event_wait"); })) return failed;
    return give(s, [at = event(e)] { at.queue->reach(at.mark); });
  };
  api.event_host_wait = [](tenon_event* e, std::uint64_t) {
    const Event at = event(e);
    at.queue->reach(at.mark);
    return provider().status(at.queue->failure());
  };
  api.compile = [](tenon_device* device, const tenon_part* part, const tenon_compile_options* options, tenon_program** out) -> tenon_status* {
    plain = reinterpret_cast<Device*>(device)->index == 3;
    if (tenon_status* s = provider().compile_now(device, part, options, out)) return s;
    std::uint32_t operand = 0;
    const Span<tenon_chosen> claims(part->claims);
    for (std::size_t c = 0; c < claims.size(); ++c) {
      const Node node(*part->graph, claims[c].nodes[0]);
      for (std::uint32_t o = 0; node.op_type() == "NonZero" && o < part->output_count; ++o)
        if (part->outputs[o] == node.raw().outputs[0]) operand = static_cast<std::uint32_t>(part->input_count) + o;
    }
    std::lock_guard lock(provider().mutex);
    provider().traits[*out] = {operand, plain};
    return nullptr;
  };
  api.execute = execute;
}

Async& provider() {
  static Async* made = [] {
    std::vector<Op> ops = operators();
    for (Op& o : ops)
      if (o.kernel.op_type == "NonZero") o.kernel.run = non_zero;
    auto* k = new Async(std::move(ops));
    for (std::uint32_t d = 0; d < 4; ++d) k->handles[d].index = d;
    const char* uids[] = {"async:lazy", "async:late", "async:other", "async:host"};
    for (std::size_t m = 0; m < 3; ++m) {
      k->domains[m] = k->domain;
      if (m == 2) continue;  // the host's
      k->domains[m].kind = TENON_DOMAIN_DEVICE;
      k->domains[m].base_align = base_align;
      k->domains[m].view_align = 0;
      k->domains[m].uid = str(m == 0 ? "async:memory" : "async:other-memory");
      k->domains[m].max_alloc = m == 0 ? 4096 : 0;
    }
    k->routes = {{sizeof(tenon_route), TENON_ROUTE_HOST, 0, 0, 0, 10, 100}, {sizeof(tenon_route), 0, TENON_ROUTE_HOST, 0, 0, 10, 100}};
    for (std::size_t d = 0; d < 4; ++d) {
      k->devices[d] = k->device;
      k->devices[d].kind = TENON_DEVICE_OTHER;
      k->devices[d].uid = k->devices[d].name = str(uids[d]);
      k->devices[d].domains = {&k->domains[d < 2 ? 0 : d - 1], 1, sizeof(tenon_domain), 0};
      k->devices[d].routes = {k->routes.data(), d == 3 ? 0 : k->routes.size(), sizeof(tenon_route), 0};
      k->devices[d].sync_family = str(d < 2 ? "async" : "async-native");
    }
    k->adopt_constant = [](std::span<char> bytes) { if (!plain) invert(bytes.data(), bytes.size()); };
    k->resolve = [](const tenon_address& a) -> void* {
      return buffers().find(a.handle) ? own(a, a.bytes) : static_cast<unsigned char*>(a.handle) + a.offset;
    };
    return k;
  }();
  return *made;
}

}  // namespace

TENON_EXPORT const tenon_provider_desc* tenon_provider_query(const tenon_query_args* args) {
  Async& p = provider();
  if (!p.run_now) {
    if (!p.describe(args)) return nullptr;  // fills in what is not set yet
    p.run_now = p.api.execute;
    p.compile_now = p.api.compile;
    set_functions(p.api);
    every_entry::wrap(p.api, before);
  }
  return p.describe(args);
}
