// Runs on an isolated device: operands are copied into memory that both processes see, and what was made is copied out of it.
#include <algorithm>
#include <bit>
#include <numeric>

#include "core/provider/isolate/remote.h"

namespace tenon::isolate {
namespace {

RemotePlan& plan_of(tenon_plan* p) { return *reinterpret_cast<RemotePlan*>(p); }
RemoteBinding& binding_of(tenon_binding* b) { return *reinterpret_cast<RemoteBinding*>(b); }

std::uint64_t place_of(const tenon_address& a) { return reinterpret_cast<std::uintptr_t>(a.handle) + a.offset; }
std::byte* bytes_of(const tenon_address& a) { return static_cast<std::byte*>(a.handle) + a.offset; }
std::vector<std::string>& strings_of(const tenon_address& a) { return *static_cast<std::vector<std::string>*>(a.handle); }

constexpr std::uint64_t page = 4096;
std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) { return (n + unit - 1) / unit * unit; }

// So that what grows a little from run to run need not move.
std::uint64_t roomy(std::uint64_t bytes) { return round_up(bytes, std::max<std::uint64_t>(64, std::bit_floor(bytes) / 8)); }

}  // namespace

std::uint64_t mirror(std::span<const tenon_address> addresses, std::span<std::uint64_t> sizes, std::uint32_t boundary, std::vector<std::uint64_t>& offsets) {
  struct Cluster {
    std::uint64_t begin = 0, end = 0;
    std::uint32_t first = 0, count = 0;
  };
  std::vector<std::uint32_t> order;
  for (std::uint32_t o = 0; o < addresses.size(); ++o)
    if (sizes[o]) order.push_back(o);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return place_of(addresses[a]) < place_of(addresses[b]); });
  std::vector<Cluster> clusters;
  std::vector<std::uint32_t> cluster_of(addresses.size());
  for (const std::uint32_t o : order) {
    const std::uint64_t begin = place_of(addresses[o]), end = begin + sizes[o];
    if (clusters.empty() || begin >= clusters.back().end) clusters.push_back({begin, end, o, 0});
    Cluster& c = clusters.back();
    c.end = std::max(c.end, end), c.first = std::min(c.first, o), ++c.count;
    cluster_of[o] = static_cast<std::uint32_t>(clusters.size() - 1);
  }
  // By operand, not by address: what moves from run to run keeps its place here.
  std::vector<std::uint32_t> by_operand(clusters.size());
  std::iota(by_operand.begin(), by_operand.end(), 0u);
  std::sort(by_operand.begin(), by_operand.end(), [&](std::uint32_t a, std::uint32_t b) { return clusters[a].first < clusters[b].first; });
  std::vector<std::uint64_t> base(clusters.size());
  std::uint64_t total = 0;
  for (const std::uint32_t i : by_operand) {
    const Cluster& c = clusters[i];
    const bool moves = c.count == 1 && c.first < boundary;
    if (moves) base[i] = round_up(total, 64), total = base[i] + (sizes[c.first] = roomy(c.end - c.begin));
    else base[i] = round_up(total, page) + c.begin % page, total = base[i] + (c.end - c.begin);
  }
  offsets.assign(addresses.size(), 0);
  for (const std::uint32_t o : order) offsets[o] = base[cluster_of[o]] + (place_of(addresses[o]) - clusters[cluster_of[o]].begin);
  return total;
}

// What of a boundary operand there is to carry; temps stay where they are.
std::uint64_t RemoteBinding::carried(std::uint32_t o) const { return std::min(addresses[o].bytes, plan->bytes[o]); }

Status RemoteBinding::lay_out() {
  const RemoteProgram& program = *plan->program;
  const std::uint32_t boundary = program.inputs + program.outputs;
  if (addresses.size() < boundary) return internal("{} addresses for {} operands", addresses.size(), boundary);
  std::vector<Operand> now(addresses.size());
  std::vector<std::uint64_t> sizes(addresses.size()), offsets;
  for (std::uint32_t o = 0; o < addresses.size(); ++o) {
    const tenon_address& a = addresses[o];
    Operand& to = now[o];
    if (!a.handle) continue;
    if (o < boundary && program.dtypes[o] == TENON_DTYPE_STRING) {
      to.place = Place::strings, to.offset = a.offset;
    } else if (RemoteBuffer* buffer = program.device->buffer(a.handle)) {
      to.place = Place::buffer, to.buffer = buffer, to.offset = a.offset, to.room = a.bytes;
    } else if (o >= program.inputs && o < boundary && plan->bytes[o] == UINT64_MAX) {
      continue;  // it gets memory when its size is known
    } else {
      to.place = Place::memory;
      sizes[o] = o < boundary ? carried(o) : a.bytes;
    }
  }
  const std::uint64_t total = mirror(addresses, sizes, boundary, offsets);
  for (std::uint32_t o = 0; o < addresses.size(); ++o)
    if (now[o].place == Place::memory) now[o].offset = offsets[o], now[o].room = sizes[o];
  if (total > memory_.bytes()) {
    TENON_SET(memory_, SharedMemory::make(total));
    told_ = false;
  }
  if (now != operands_) operands_ = std::move(now), told_ = false;
  moved = false;
  sized_ = plan->sized;
  return {};
}

std::string RemoteBinding::what(std::uint64_t first, std::uint64_t count) const {
  const auto& steps = plan->steps;
  const std::string last = count > 1 ? fmt::format(" to {} \"{}\"", first + count - 1, steps[first + count - 1].name) : "";
  return fmt::format("step {} \"{}\"{} of {} on device \"{}\"", first, steps[first].name, last, steps.size(), plan->program->device->info.uid);
}

// Inputs that these steps read.
Status RemoteBinding::copy_in(Writer& out, std::uint64_t first, std::uint64_t count) {
  const RemoteProgram& program = *plan->program;
  seen_.assign(program.inputs, 0);
  for (std::uint64_t s = first; s < first + count; ++s)
    for (const std::uint32_t o : plan->steps[s].reads)
      if (o < program.inputs) seen_[o] = 1;
  std::uint64_t strings = 0;
  const std::size_t place = out.reserve();
  for (std::uint32_t o = 0; o < program.inputs; ++o) {
    if (!seen_[o]) continue;
    const Operand& to = operands_[o];
    if (to.place == Place::memory) {
      std::memcpy(memory_.data() + to.offset, bytes_of(addresses[o]), carried(o));
    } else if (to.place == Place::buffer) {
      if (addresses[o].bytes && !to.buffer->holds(to.offset))
        return error(TENON_UNAVAILABLE, "device \"{}\": its process ended during the run, and its memory with it: run again", program.device->info.uid);
    } else if (to.place == Place::strings) {
      const auto& all = strings_of(addresses[o]);
      ++strings;
      out.put(o), out.put<std::uint64_t>(all.size());
      for (const std::string& s : all) out.text(s);
    }
  }
  out.fill(place, strings);
  // String outputs whose number is known: how many there is room for.
  for (std::uint32_t o = program.inputs; o < program.inputs + program.outputs; ++o)
    if (operands_[o].place == Place::strings) out.put<std::uint64_t>(strings_of(addresses[o]).size());
  return {};
}

Status RemoteBinding::copy_out(Reader& in, tenon_task* run, std::uint64_t first, std::uint64_t count) {
  const RemoteProgram& program = *plan->program;
  const std::uint32_t boundary = program.inputs + program.outputs;
  seen_.assign(boundary, 0);
  for (std::uint64_t s = first; s < first + count; ++s)
    for (const std::uint32_t o : plan->steps[s].writes)
      if (o < boundary) seen_[o] = 1;
  for (std::uint32_t o = program.inputs; o < boundary; ++o) {
    if (!seen_[o]) continue;
    const Operand& from = operands_[o];
    if (from.place == Place::memory) std::memcpy(bytes_of(addresses[o]), memory_.data() + from.offset, carried(o));
    else if (from.place == Place::buffer) from.buffer->wrote(from.offset, addresses[o].bytes, nullptr);
  }
  // Outputs whose size the data decided, then strings.
  std::vector<std::pair<std::uint32_t, tenon_address>> decided;  // for this run: core says where they are in the next one
  const auto output = [&](std::uint32_t o) { return o >= program.inputs && o < boundary; };
  for (std::uint64_t left = in.count(1); left > 0; --left) {
    const auto o = in.get<std::uint32_t>();
    const auto dims = in.array<std::int64_t>();
    const std::span<const std::byte> made = in.blob();
    if (!in.ok() || !output(o)) return in.fail(), Status();
    tenon_address to{};
    TENON_TRY(run->alloc_output(o, static_cast<std::uint32_t>(dims.size()), dims.data(), &to));
    decided.emplace_back(o, to);
    if (program.dtypes[o] == TENON_DTYPE_STRING) continue;  // below
    if (made.size() > to.bytes) return in.fail(), Status();
    if (!made.empty()) std::memcpy(bytes_of(to), made.data(), made.size());
  }
  for (std::uint64_t left = in.count(1); left > 0; --left) {
    const auto o = in.get<std::uint32_t>();
    const std::uint64_t n = in.count(sizeof(std::uint64_t));
    if (!in.ok() || !output(o) || program.dtypes[o] != TENON_DTYPE_STRING) return in.fail(), Status();
    tenon_address at = addresses[o];
    for (const auto& [operand, place] : decided)
      if (operand == o) at = place;
    if (!at.handle) return in.fail(), Status();
    auto& to = strings_of(at);
    if (n != to.size()) return in.fail(), Status();
    for (std::string& s : to) s = in.text();
  }
  for (std::uint64_t left = in.count(1); left > 0; --left) {
    tenon_trace_event e{};
    e.struct_size = sizeof e;
    e.name = str(in.text()), e.track = str(in.text());
    e.begin_ns = in.get<std::uint64_t>(), e.end_ns = in.get<std::uint64_t>();
    if (in.ok() && e.end_ns >= e.begin_ns && run->traced()) run->trace(e);
  }
  if (!in.done()) in.fail();
  return {};
}

Status RemoteBinding::run(const tenon_execute_args& args) {
  RemoteProgram& program = *plan->program;
  if (args.first_step + args.step_count > plan->steps.size()) return internal("steps {} to {} of {}", args.first_step, args.first_step + args.step_count, plan->steps.size());
  if (args.step_count == 0) return {};
  TENON_ASSIGN(const auto peer, program.device->link->peer());
  TENON_TRY(plan->ready(*peer));
  if (moved || sized_ != plan->sized) TENON_TRY(lay_out());
  if (generation_ != peer->generation) {
    // What a provider keeps between the steps of a run is gone.
    if (args.first_step > 0 && generation_ != 0)
      return error(TENON_UNAVAILABLE, "device \"{}\": its process ended between two steps of the run: run again", program.device->info.uid);
    told_ = false;
  }
  for (const Operand& o : operands_)
    if (o.buffer) TENON_TRY(o.buffer->ready(*peer));
  Writer out;
  std::vector<int> fds;
  out.put(number), out.put(plan->number);
  out.put<std::uint8_t>(!told_);
  if (!told_) {
    out.put(memory_.bytes());
    if (memory_.bytes()) fds.push_back(memory_.fd());
    out.put<std::uint64_t>(operands_.size());
    for (const Operand& o : operands_) out.put(o.place), out.put<std::uint64_t>(o.buffer ? o.buffer->number : 0), out.put(o.offset), out.put(o.room);
  }
  out.put(args.first_step), out.put(args.step_count);
  out.put<std::uint8_t>(args.run && args.run->traced());
  TENON_TRY(copy_in(out, args.first_step, args.step_count));
  Status status = peer->call({Ask::execute, what(args.first_step, args.step_count), args.run, std::move(fds)}, out,
                             [&](Reader& in) { return copy_out(in, args.run, args.first_step, args.step_count); });
  // The process may or may not have taken over the operands.
  told_ = status.ok();
  if (status.ok()) {
    generation_ = peer->generation;
    program.device->link->well();
  }
  // Core knows better why it stopped the run.
  if (status.code() == TENON_CANCELLED && args.run && args.run->cancelled()) return {};
  return status;
}

tenon_status* remote_bind(tenon_plan* plan, const tenon_address* addresses, std::uint64_t count, tenon_stream*, tenon_binding** out) {
  auto made = std::make_unique<RemoteBinding>();
  made->plan = &plan_of(plan);
  made->number = made->plan->program->device->link->number();
  made->addresses.assign(addresses, addresses + count);
  *out = reinterpret_cast<tenon_binding*>(made.release());
  return nullptr;
}

tenon_status* remote_binding_update(tenon_binding* binding, const std::uint32_t* changed, const tenon_address* addresses, std::uint64_t count) {
  RemoteBinding& b = binding_of(binding);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (changed[i] >= b.addresses.size()) return internal("operand {} of {}", changed[i], b.addresses.size()).release();
    b.addresses[changed[i]] = addresses[i];
  }
  b.moved = true;
  return nullptr;
}

void remote_binding_destroy(tenon_binding* binding) {
  const std::unique_ptr<RemoteBinding> gone(&binding_of(binding));
  remote_end(*gone->plan->program->device->link, Ask::binding_end, gone->number);
}

tenon_status* remote_execute(tenon_program*, const tenon_execute_args* args) {
  if (!args->binding) return internal("an isolated program is executed through its binding").release();
  return binding_of(args->binding).run(*args).release();
}

}  // namespace tenon::isolate
