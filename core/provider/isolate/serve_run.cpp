// Execute, buffers and copies, in the process of an isolated provider.
#include <algorithm>

#include "core/base/host_memory.h"
#include "core/provider/host.h"
#include "core/provider/isolate/serve.h"
#include "core/tensor/type.h"

namespace tenon::isolate {
namespace {

// The run as the provider sees it.
class ServedRun final : public GangTask {
 public:
  ServedRun(Control& control, ServedBinding& binding, bool traced) : GangTask(control), binding_(binding), traced_(traced) {}

  bool traced() const override { return traced_; }
  void trace(const tenon_trace_event& e) override {
    std::lock_guard lock(mutex_);
    ++events_;
    trace_.text(e.name), trace_.text(e.track), trace_.put(e.begin_ns), trace_.put(e.end_ns);
  }
  // Memory of this process, which core takes over with the answer.
  Status alloc_output(std::uint32_t operand, std::uint32_t rank, const std::int64_t* dims, tenon_address* out) override {
    const ServedProgram& program = *binding_.plan->program;
    if (operand < program.inputs || operand >= program.values.size()) return error(TENON_FAILED_PRECONDITION, "alloc_output: operand {} is not an output", operand);
    if (rank > 64 || (rank && !dims)) return invalid("alloc_output: rank {}", rank);
    const std::int32_t dtype = program.dtypes[operand];
    const Checked count = element_count(dims, rank), bytes = dtype == TENON_DTYPE_STRING ? count : dtype_bytes(dtype, count);
    if (!bytes.valid()) return error(TENON_RESOURCE_EXHAUSTED, "alloc_output: an output of shape {}", dims_text(dims, rank));
    Made& made = made_[operand];
    made.dims.assign(dims, dims + rank);
    made.bytes = static_cast<std::uint64_t>(bytes.value());
    if (dtype == TENON_DTYPE_STRING) {
      auto& strings = binding_.strings[operand];
      strings.assign(made.bytes, {});
      *out = string_address(strings);
      return {};
    }
    made.memory = host_memory(std::max<std::uint64_t>(made.bytes, 1));
    if (!made.memory) return error(TENON_RESOURCE_EXHAUSTED, "no memory for an output of {} bytes", made.bytes);
    *out = {made.memory.get(), 0, made.bytes};
    return {};
  }
  void write(Writer& out) const {
    const auto& dtypes = binding_.plan->program->dtypes;
    out.put<std::uint64_t>(made_.size());
    for (const auto& [operand, made] : made_) {
      out.put(operand);
      out.array(made.dims.data(), made.dims.size());
      out.array(static_cast<const std::byte*>(made.memory.get()), dtypes[operand] == TENON_DTYPE_STRING ? 0 : made.bytes);
    }
    Writer all;
    std::uint64_t count = 0;
    for (const auto& [operand, strings] : binding_.strings) {
      if (operand < binding_.plan->program->inputs) continue;
      if (binding_.places[operand] != Place::strings && !made_.contains(operand)) continue;
      ++count;
      all.put(operand), all.put<std::uint64_t>(strings.size());
      for (const std::string& s : strings) all.text(s);
    }
    out.put(count);
    out.append(all);
    out.put(events_);
    out.append(trace_);
  }

 private:
  struct Made {
    std::vector<std::int64_t> dims;
    std::uint64_t bytes = 0;
    std::shared_ptr<void> memory;
  };
  ServedBinding& binding_;
  const bool traced_;
  std::map<std::uint32_t, Made> made_;
  std::mutex mutex_;
  std::uint64_t events_ = 0;
  Writer trace_;
};

}  // namespace

void ServedBinding::unbind() { plan->program->device->binding_destroy(std::exchange(handle, nullptr)); }
ServedBinding::~ServedBinding() {
  if (!plan) return;
  unbind();
  plan->program->device->stream_destroy(stream);
}

// Operands as core has laid them out, and the memory that they are in.
Status Server::rebind(ServedBinding& b, Reader& in, std::vector<Fd>& fds) {
  b.unbind();
  const auto bytes = in.get<std::uint64_t>();
  if (bytes) {
    if (fds.empty()) return in.fail(), Status();
    TENON_SET(b.memory, SharedMemory::map(std::move(fds[0]), bytes, false));
    b.memory.close_fd();
  }
  const ServedProgram& program = *b.plan->program;
  const std::uint64_t count = in.count(28);
  if (count < program.values.size()) return in.fail(), Status();
  b.places.resize(count);
  b.addresses.assign(count, {nullptr, 0, 0});
  b.strings.clear();
  for (std::uint32_t o = 0; o < count; ++o) {
    b.places[o] = in.get<Place>();
    const auto buffer = in.get<std::uint64_t>(), offset = in.get<std::uint64_t>(), room = in.get<std::uint64_t>();
    switch (b.places[o]) {
      case Place::nowhere: break;
      case Place::memory:
        if (offset > b.memory.bytes() || room > b.memory.bytes() - offset) return in.fail(), Status();
        b.addresses[o] = {b.memory.data(), offset, room};
        break;
      case Place::buffer: {
        TENON_ASSIGN(const auto found, find(buffers_, buffer, "buffer"));
        b.addresses[o] = {found->address().handle, found->address().offset + offset, room};
        break;
      }
      case Place::strings: b.addresses[o] = string_address(b.strings[o]); break;
      default: return in.fail(), Status();
    }
  }
  if (!in.ok()) return {};
  if (device_->has_streams() && !b.stream) TENON_SET(b.stream, device_->stream_create());
  if (device_->has_bind() && b.plan->handle) TENON_SET(b.handle, device_->bind(b.plan->handle, b.addresses.data(), b.addresses.size(), b.stream));
  return {};
}

Status Server::execute(Reader& in, std::vector<Fd>& fds, ServedChannel& channel, Writer& out) {
  const auto number = in.get<std::uint64_t>(), plan_number = in.get<std::uint64_t>();
  std::shared_ptr<ServedBinding> found;
  {
    std::lock_guard lock(mutex_);
    if (const auto at = bindings_.find(number); at != bindings_.end()) found = at->second;
  }
  if (!found) {
    found = std::make_shared<ServedBinding>();
    TENON_SET(found->plan, find(plans_, plan_number, "plan"));
    keep(bindings_, number, found);
  }
  ServedBinding& b = *found;
  const ServedPlan& plan = *b.plan;
  const ServedProgram& program = *plan.program;
  std::call_once(program.session->finished, [&] { program.session->context.finish(); });
  if (in.get<std::uint8_t>()) TENON_TRY(rebind(b, in, fds));
  const auto first = in.get<std::uint64_t>(), count = in.get<std::uint64_t>();
  const bool traced = in.get<std::uint8_t>() != 0;
  if (!in.ok() || first > plan.spmd.size() || count > plan.spmd.size() - first) return in.fail(), Status();
  std::vector<std::uint32_t> changed;
  const auto refresh = [&](std::uint32_t o) {
    const tenon_address now = string_address(b.strings[o]);
    if (now.bytes != b.addresses[o].bytes) changed.push_back(o);
    b.addresses[o] = now;
  };
  for (std::uint64_t left = in.count(1); left > 0; --left) {
    const auto o = in.get<std::uint32_t>();
    if (o >= program.inputs) return in.fail(), Status();
    auto& strings = b.strings[o];
    strings.resize(in.count(sizeof(std::uint64_t)));
    for (std::string& s : strings) s = in.text();
    refresh(o);
  }
  for (std::uint32_t o = program.inputs; o < program.values.size(); ++o) {
    if (b.places[o] != Place::strings) continue;
    const auto n = in.get<std::uint64_t>();
    if (n > (std::uint64_t{1} << 40)) return in.fail(), Status();
    b.strings[o].resize(n);
    refresh(o);
  }
  if (!in.done()) return in.fail(), Status();
  if (b.handle && !changed.empty()) {
    std::vector<tenon_address> now;
    for (const std::uint32_t o : changed) now.push_back(b.addresses[o]);
    TENON_TRY(device_->binding_update(b.handle, changed.data(), now.data(), changed.size()));
  }

  Page& page = channel.shared();
  Control control([&page] { return page.cancelled.load(std::memory_order_relaxed) != 0; }, Control::Clock::time_point::max());
  ServedRun task(control, b, traced);
  tenon_execute_args args{};
  args.struct_size = sizeof args;
  args.worker_count = 1;
  args.plan = plan.handle;
  args.binding = b.handle;
  args.addresses = b.handle ? nullptr : b.addresses.data();
  args.address_count = b.handle ? 0 : b.addresses.size();
  args.first_step = first, args.step_count = count;
  args.stream = b.stream;
  args.run = &task;
  Status status;
  if (b.stream || plan.max_workers == 1) {
    status = device_->execute(program.handle, args);
    if (b.stream) {
      Status late = device_->stream_sync(b.stream);
      if (status.ok()) status = std::move(late);
    }
  } else {
    Gang gang(plan.max_workers, control);
    task.begin(gang);
    const auto begin = plan.spmd.begin() + static_cast<std::ptrdiff_t>(first);
    if (gang.size() == 1 || std::none_of(begin, begin + static_cast<std::ptrdiff_t>(count), [](bool s) { return s; })) {
      status = device_->execute(program.handle, args);
    } else {
      gang.run([&](std::uint32_t worker) {
        tenon_execute_args mine = args;
        mine.worker_index = worker;
        mine.worker_count = gang.size();
        if (Status s = device_->execute(program.handle, mine); !s.ok()) control.fail(std::move(s));
        // A worker that left early still meets the others once, who then all learn to stop.
        if (!gang.stopped()) (void)gang.barrier();
      });
    }
    task.end();
  }
  if (status.ok() && control.stopped()) status = control.take();
  if (status.ok()) task.write(out);
  return status;
}

Status Server::allocate(Reader& in) {
  const auto number = in.get<std::uint64_t>();
  const auto domain = in.get<std::uint32_t>();
  const auto bytes = in.get<std::uint64_t>(), alignment = in.get<std::uint64_t>();
  if (!in.done()) return in.fail(), Status();
  TENON_ASSIGN(auto made, device_->alloc(domain, bytes, alignment));
  keep(buffers_, number, std::move(made));
  return {};
}

Status Server::copy(Reader& in, std::vector<Fd>& fds, ServedChannel& channel) {
  const auto route = in.get<std::uint32_t>();
  const auto bytes = in.get<std::uint64_t>();
  if (route >= device_->info().routes.size()) return in.fail(), Status();
  const auto place = [&]() -> Result<tenon_address> {
    const auto number = in.get<std::uint64_t>(), offset = in.get<std::uint64_t>();
    if (!number) return tenon_address{channel.memory.data(), 0, bytes};
    TENON_ASSIGN(const auto found, find(buffers_, number, "buffer"));
    return tenon_address{found->address().handle, found->address().offset + offset, bytes};
  };
  TENON_ASSIGN(tenon_address to, place());
  TENON_ASSIGN(tenon_address from, place());
  if (!fds.empty()) {
    TENON_SET(channel.memory, SharedMemory::map(std::move(fds[0]), in.get<std::uint64_t>(), false));
    channel.memory.close_fd();
    const RouteInfo& way = device_->info().routes[route];
    if (way.to == TENON_ROUTE_HOST || device_->info().domains[way.to].host()) to.handle = channel.memory.data();
    else from.handle = channel.memory.data();
  }
  if (!in.done()) return in.fail(), Status();
  for (const tenon_address* a : {&to, &from})
    if (!a->handle || (a->handle == channel.memory.data() && bytes > channel.memory.bytes())) return in.fail(), Status();
  if (!device_->has_streams()) return device_->copy(route, nullptr, to, from, bytes);
  std::lock_guard lock(copy_mutex_);
  if (!copy_stream_) TENON_SET(copy_stream_, device_->stream_create());
  Status status = device_->copy(route, copy_stream_, to, from, bytes);
  Status late = device_->stream_sync(copy_stream_);
  return status.ok() ? std::move(late) : std::move(status);
}

}  // namespace tenon::isolate
