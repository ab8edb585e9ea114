#include "core/provider/isolate/plan_wire.h"

#include "core/provider/isolate/graph_wire.h"
#include "core/tensor/type.h"

namespace tenon::isolate {

// Most values of a graph belong to other parts: only those that are said are written.
void write_values(Writer& out, const tenon_span& values) {
  out.put(values.count);
  const std::size_t place = out.reserve();
  std::uint64_t said = 0;
  for (std::uint64_t i = 0; i < values.count; ++i) {
    const auto& v = element<tenon_plan_value>(values, i);
    if (v.rank < 0) continue;
    ++said;
    const auto rank = static_cast<std::uint64_t>(v.rank);
    out.put(static_cast<std::uint32_t>(i)), out.put(v.rank), out.put(v.dtype);
    out.put<std::uint8_t>(static_cast<std::uint8_t>((v.dims_max ? 1 : 0) | (v.strides ? 2 : 0) | (v.known ? 4 : 0)));
    out.array(v.dims, rank), out.array(v.dims_max, rank), out.array(v.strides, rank);
    const Checked bytes = dtype_bytes(v.dtype, element_count(v.dims, rank));
    out.array(static_cast<const std::byte*>(v.known), bytes.valid() ? static_cast<std::uint64_t>(bytes.value()) : 0);
  }
  out.fill(place, said);
}

// In place, and never into more room than there was the first time.
template <class T, class Pointer>
bool PlanValues::hold(std::vector<T>& to, std::span<const std::byte> from, bool there, Pointer& pointer) {
  if (!there) return pointer = nullptr, true;
  const std::size_t count = from.size() / sizeof(T);
  if (to.empty()) to.resize(std::max<std::size_t>(count, 1));
  if (count > to.size()) return false;
  if (count) std::memcpy(to.data(), from.data(), count * sizeof(T));
  pointer = to.data();
  return true;
}

bool PlanValues::read(Reader& in) {
  const auto total = in.get<std::uint64_t>();
  const std::uint64_t said = in.count(13);
  const bool again = !values_.empty();
  if (total > (std::uint64_t{1} << 28) || said > total || (again && (total != values_.size() || said != index_.size()))) return false;
  if (!again) {
    values_.resize(total);
    for (tenon_plan_value& v : values_) v.struct_size = sizeof v, v.rank = -1;
    held_.resize(said);
    index_.resize(said);
  }
  for (std::uint64_t i = 0; i < said; ++i) {
    const auto index = in.get<std::uint32_t>();
    const auto rank = in.get<std::int32_t>(), dtype = in.get<std::int32_t>();
    const auto there = in.get<std::uint8_t>();
    const auto dims = in.blob(sizeof(std::int64_t)), most = in.blob(sizeof(std::int64_t)), strides = in.blob(sizeof(std::int64_t)), known = in.blob();
    if (!in.ok() || index >= total || rank < 0 || dims.size() != static_cast<std::size_t>(rank) * sizeof(std::int64_t)) return false;
    if (again && index_[i] != index) return false;
    index_[i] = index;
    tenon_plan_value& v = values_[index];
    Held& h = held_[i];
    v.rank = rank, v.dtype = dtype;
    if (!hold(h.dims, dims, true, v.dims) || !hold(h.dims_max, most, there & 1, v.dims_max) || !hold(h.strides, strides, there & 2, v.strides) ||
        !hold(h.known, known, there & 4, v.known))
      return false;
  }
  return true;
}

void PlanCollector::temp(const tenon_temp& t) { out.emplace_back().temp = t; }
void PlanCollector::workspace(const tenon_temp& t) {
  Emitted& e = out.emplace_back();
  e.what = Emitted::What::workspace, e.temp = t;
}
void PlanCollector::malformed(std::string text) {
  Emitted& e = out.emplace_back();
  e.what = Emitted::What::malformed, e.text = std::move(text);
}
void PlanCollector::step(const tenon_step& s) {
  Emitted& e = out.emplace_back();
  e.what = Emitted::What::step;
  e.step = s;
  e.text = view(s.name);
  e.reads.assign(s.reads, s.reads + s.read_count);
  e.writes.assign(s.writes, s.writes + s.write_count);
  e.nodes.assign(s.nodes, s.nodes + s.node_count);
  e.inplace.assign(s.inplace, s.inplace + s.inplace_count);
}

void write_emitted(Writer& out, const std::vector<Emitted>& emitted) {
  out.put<std::uint64_t>(emitted.size());
  for (const Emitted& e : emitted) {
    out.put(e.what);
    if (e.what == Emitted::What::temp || e.what == Emitted::What::workspace) {
      out.put(e.temp.domain), out.put(e.temp.bytes), out.put(e.temp.alignment), out.put(e.temp.flags);
    } else {
      out.text(e.text);
      if (e.what == Emitted::What::malformed) continue;
      out.put(e.step.stage), out.put(e.step.flags), out.put(e.step.est_ns);
      out.array(e.reads.data(), e.reads.size()), out.array(e.writes.data(), e.writes.size()), out.array(e.nodes.data(), e.nodes.size());
      out.array(e.inplace.data(), e.inplace.size());
    }
  }
}

bool read_emitted(Reader& in, std::vector<Emitted>& out) {
  const std::uint64_t count = in.count(9);
  out.reserve(count);
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    Emitted& e = out.emplace_back();
    e.what = in.get<Emitted::What>();
    if (e.what > Emitted::What::malformed) return false;
    if (e.what == Emitted::What::temp || e.what == Emitted::What::workspace) {
      e.temp.struct_size = sizeof e.temp;
      e.temp.domain = in.get<std::uint32_t>(), e.temp.bytes = in.get<std::uint64_t>(), e.temp.alignment = in.get<std::uint64_t>(), e.temp.flags = in.get<std::uint64_t>();
      continue;
    }
    e.text = in.text();
    if (e.what == Emitted::What::malformed) continue;
    e.step.struct_size = sizeof e.step;
    e.step.stage = in.get<std::uint32_t>(), e.step.flags = in.get<std::uint64_t>(), e.step.est_ns = in.get<std::uint64_t>();
    e.reads = in.array<std::uint32_t>(), e.writes = in.array<std::uint32_t>(), e.nodes = in.array<std::uint32_t>();
    e.inplace = in.array<tenon_inplace>();
  }
  return in.ok();
}

void emit(const Emitted& e, tenon_plan_sink& sink) {
  switch (e.what) {
    case Emitted::What::temp: return host_api().temp(&sink, &e.temp);
    case Emitted::What::workspace: return host_api().workspace(&sink, &e.temp);
    case Emitted::What::malformed: return sink.malformed(e.text);
    case Emitted::What::step: break;
  }
  tenon_step s = e.step;
  s.name = str(e.text);
  s.reads = e.reads.data(), s.read_count = static_cast<std::uint32_t>(e.reads.size());
  s.writes = e.writes.data(), s.write_count = static_cast<std::uint32_t>(e.writes.size());
  s.nodes = e.nodes.data(), s.node_count = static_cast<std::uint32_t>(e.nodes.size());
  s.inplace = e.inplace.data(), s.inplace_count = static_cast<std::uint32_t>(e.inplace.size());
  host_api().step(&sink, &s);
}

}  // namespace tenon::isolate
