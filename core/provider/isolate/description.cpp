// What a process says of its provider: the part of Link that both sides share.
#include "core/provider/host.h"
#include "core/provider/isolate/graph_wire.h"
#include "core/provider/isolate/link.h"

namespace tenon::isolate {
namespace {

void write_device(Writer& out, const DeviceInfo& d) {
  out.put(d.kind), out.text(d.uid), out.text(d.name);
  out.put(d.flops_per_ns), out.put(d.bytes_per_ns), out.put(d.launch_ns), out.put(d.memory_limit);
  out.put<std::uint64_t>(d.domains.size());
  for (const DomainInfo& m : d.domains) {
    out.put(m.kind), out.text(m.uid);
    out.put(m.base_align), out.put(m.view_align), out.put(m.max_alloc), out.put(m.total_bytes);
  }
  out.array(d.routes.data(), d.routes.size());
}

DeviceInfo read_device(Reader& in) {
  DeviceInfo d;
  d.kind = in.get<std::int32_t>(), d.uid = in.text(), d.name = in.text();
  d.flops_per_ns = in.get<double>(), d.bytes_per_ns = in.get<double>(), d.launch_ns = in.get<double>(), d.memory_limit = in.get<std::uint64_t>();
  d.domains.resize(in.count(sizeof(std::uint64_t)));
  for (DomainInfo& m : d.domains) {
    m.kind = in.get<std::int32_t>(), m.uid = in.text();
    m.base_align = in.get<std::uint64_t>(), m.view_align = in.get<std::uint64_t>(), m.max_alloc = in.get<std::uint64_t>(), m.total_bytes = in.get<std::uint64_t>();
  }
  d.routes = in.array<RouteInfo>();
  return d;
}

void write_schemas(Writer& out, const Provider& provider) {
  Writer all;
  if (const auto* raw = static_cast<const tenon_schema_extension*>(provider.extension("tenon.schema", 1))) {
    const auto extension = full_copy(*raw);
    all.put(extension.schemas.count);
    for (const tenon_op_schema& s : full_copies<tenon_op_schema>(extension.schemas)) {
      const auto attributes = full_copies<tenon_attr>(s.attributes);
      tenon_node n{};
      n.since_version = s.since_version, n.domain = s.domain, n.op_type = s.op_type;
      n.attributes = {attributes.data(), attributes.size(), sizeof(tenon_attr), 0};
      n.flags = s.infer != nullptr;
      write_node(all, n);
      for (const std::uint32_t bound : {s.min_inputs, s.max_inputs, s.min_outputs, s.max_outputs}) all.put(bound);
    }
  }
  out.array(all.bytes().data(), all.bytes().size());
}

}  // namespace

void write_description(Writer& out, const Provider& p) {
  for (const std::string_view text : {std::string_view(p.id()), std::string_view(p.version()), std::string_view(p.build_id()), std::string_view(p.library_identity())}) out.text(text);
  out.put(p.abi_minor()), out.put(p.header_hash());
  out.put(p.api().features);
  const auto* resize = static_cast<const tenon_resize_extension*>(p.extension("tenon.resize", 1));
  out.put<std::uint32_t>((p.api().buffer_alloc ? has_buffers : 0) | (resize && p.api().program_plan ? has_resize : 0));
  out.put<std::uint64_t>(p.opsets().size());
  for (const OpsetRange& o : p.opsets()) out.text(o.domain), out.put(o.max_opset);
  out.put<std::uint64_t>(p.devices().size());
  for (const DeviceInfo& d : p.devices()) write_device(out, d);
  write_schemas(out, p);
}

bool read_description(Reader& in, Description& d) {
  d.library.id = in.text(), d.library.version = in.text(), d.library.build_id = in.text(), d.library.identity = in.text();
  d.library.abi_minor = in.get<std::uint32_t>(), d.library.header_hash = in.get<std::uint64_t>();
  d.features = in.get<std::uint64_t>(), d.has = in.get<std::uint32_t>();
  d.library.opsets.resize(in.count(sizeof(std::uint64_t)));
  for (OpsetRange& o : d.library.opsets) o.domain = in.text(), o.max_opset = in.get<std::int32_t>();
  d.devices.resize(in.count(sizeof(std::uint64_t)));
  for (DeviceInfo& device : d.devices) device = read_device(in);
  d.schemas = in.array<std::byte>();
  return in.done();
}

}  // namespace tenon::isolate
