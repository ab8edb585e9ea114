// What core's handles of an isolated provider are: provider, device, buffers, programs, plans and bindings that live elsewhere.
//
// Each keeps the request that made it, so that it can be made again in the next process; `generation` says in which one it is now.
// Handed to core as the ABI's opaque pointers and freed by the table's functions. Threads: as provider.h says for each handle.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/provider/isolate/graph_wire.h"
#include "core/provider/isolate/link.h"
#include "core/provider/isolate/plan_wire.h"

namespace tenon::isolate {

struct RemoteProvider {
  explicit RemoteProvider(Launch l) : launch(std::move(l)), first(std::make_shared<Link>(launch)) {}
  // Starts the first process and takes over what it says.
  Status start();
  Status open(std::uint64_t index, tenon_device** out);
  Status infer(const tenon_infer_args& args);

  const Launch launch;
  std::shared_ptr<Link> first;  // found out what there is, and serves the first device that is opened
  std::uint64_t first_index = UINT64_MAX;
  std::vector<DeviceInfo> devices;
  std::vector<std::vector<tenon_domain>> domains;  // behind infos
  std::vector<std::vector<tenon_route>> routes;
  std::vector<tenon_device_info> infos;
  std::unique_ptr<Reader> schema_bytes;
  std::unique_ptr<GraphReader> schema_reader;  // holds what schemas points at
  std::vector<tenon_op_schema> schemas;
  tenon_schema_extension schema_extension{};
};

struct RemoteBuffer;

struct RemoteDevice {
  RemoteDevice(std::shared_ptr<Link> l, const DeviceInfo& i) : link(std::move(l)), info(i) {}
  // The graph as bytes; programs of one graph share them.
  std::shared_ptr<const Writer> graph(const tenon_graph& graph);
  // The buffer whose handle this is; null: it is memory of the host.
  RemoteBuffer* buffer(void* handle);
  bool host(std::uint32_t domain) const { return domain == TENON_ROUTE_HOST || info.domains[domain].host(); }

  std::shared_ptr<Link> link;
  const DeviceInfo& info;
  std::mutex mutex;
  std::unordered_set<void*> buffers;
  std::weak_ptr<const Writer> last_graph;
};

// Memory of the device's own. Only what is small is known here as well: values that a plan keeps there. All else is gone with the
// process, and who reads a place that was not written since is told so.
struct RemoteBuffer {
  Status ready(Peer& peer);
  void wrote(std::uint64_t offset, std::uint64_t bytes, const void* from);  // from: null where it was no copy from the host
  // Whether what lies at offset was put there in this process.
  bool holds(std::uint64_t offset);

  RemoteDevice* device = nullptr;
  std::uint64_t number = 0, bytes = 0, alignment = 0;
  std::uint32_t domain = 0;

 private:
  std::mutex mutex_;
  std::uint64_t generation_ = 0;
  std::map<std::uint64_t, std::uint64_t> written_;            // begin, end; apart from each other
  std::map<std::uint64_t, std::vector<std::byte>> contents_;  // by offset
  std::uint64_t kept_ = 0;
};

struct RemoteProgram {
  Status ready(Peer& peer, tenon_task* task = nullptr);

  RemoteDevice* device = nullptr;
  std::shared_ptr<RemoteSession> session;
  std::uint64_t number = 0;
  std::string what;  // "compile of 3 nodes"
  Writer head, tail;
  std::shared_ptr<const Writer> graph;
  std::uint64_t graph_nodes = 0;
  std::uint32_t inputs = 0, outputs = 0;
  std::vector<std::uint32_t> values;  // of the boundary, by operand
  std::vector<std::int32_t> dtypes;   // beside them

 private:
  std::mutex mutex_;
  std::uint64_t generation_ = 0;
};

struct RemotePlan {
  Status make(Peer& peer, tenon_task* task);
  Status ready(Peer& peer);
  void read_sizes(const tenon_span& values);

  struct Step {
    std::string name;
    std::vector<std::uint32_t> reads, writes;
  };
  RemoteProgram* program = nullptr;
  std::uint64_t number = 0;
  Writer request, sizes;  // sizes: the latest of a plan for a box
  bool resized = false;
  std::vector<Emitted> emitted;  // until core has them
  std::vector<Step> steps;
  std::vector<std::uint64_t> bytes;  // of the boundary, by operand; UINT64_MAX: the data decide
  std::uint64_t sized = 0;           // how often they were read

 private:
  std::mutex mutex_;
  std::uint64_t generation_ = 0;
  std::vector<std::byte> answer_;
};

struct RemoteBinding {
  Status run(const tenon_execute_args& args);

  RemotePlan* plan = nullptr;
  std::uint64_t number = 0;
  std::vector<tenon_address> addresses;
  bool moved = true;  // the addresses are not those that the layout was made for

 private:
  struct Operand {
    Place place = Place::nowhere;
    std::uint64_t offset = 0, room = 0;
    RemoteBuffer* buffer = nullptr;
    bool operator==(const Operand&) const = default;
  };
  Status lay_out();
  std::uint64_t carried(std::uint32_t operand) const;
  Status copy_in(Writer& out, std::uint64_t first, std::uint64_t count);
  Status copy_out(Reader& in, tenon_task* run, std::uint64_t first, std::uint64_t count);
  std::string what(std::uint64_t first, std::uint64_t count) const;

  std::vector<Operand> operands_;
  SharedMemory memory_;
  std::uint64_t sized_ = 0;        // as the plan's, at the last layout
  bool told_ = false;              // the process knows operands_ and memory_
  std::uint64_t generation_ = 0;   // of the process that knows them
  std::vector<std::uint8_t> seen_;  // scratch
};

// Places for operands in one memory: those that overlap on the host overlap there in the same way. sizes: bytes at each address, 0 for
// operands that have no place; those of the boundary that stand alone are given some more. Offsets by operand; the total comes back.
std::uint64_t mirror(std::span<const tenon_address> addresses, std::span<std::uint64_t> sizes, std::uint32_t boundary, std::vector<std::uint64_t>& offsets);

// The table that core gets, without the functions that the provider lacks.
tenon_provider_api remote_api(const Description& description);

// The functions behind it, by file.
tenon_status* remote_query(tenon_device*, const tenon_query*, tenon_query_sink*);
tenon_status* remote_compile(tenon_device*, const tenon_part*, const tenon_compile_options*, tenon_program**);
void remote_program_destroy(tenon_program*);
tenon_status* remote_plan(tenon_program*, const tenon_plan_args*, tenon_plan_sink*, tenon_plan**);
tenon_status* remote_resize(tenon_program*, tenon_plan*, const tenon_resize_args*);
void remote_plan_destroy(tenon_plan*);
tenon_status* remote_bind(tenon_plan*, const tenon_address*, std::uint64_t, tenon_stream*, tenon_binding**);
tenon_status* remote_binding_update(tenon_binding*, const std::uint32_t*, const tenon_address*, std::uint64_t);
void remote_binding_destroy(tenon_binding*);
tenon_status* remote_execute(tenon_program*, const tenon_execute_args*);
tenon_status* remote_buffer_alloc(tenon_device*, std::uint32_t, std::uint64_t, std::uint64_t, tenon_buffer**);
void remote_buffer_free(tenon_device*, tenon_buffer*);
void* remote_buffer_handle(tenon_device*, tenon_buffer*);
tenon_status* remote_copy(tenon_device*, std::uint32_t, tenon_stream*, const tenon_address*, const tenon_address*, std::uint64_t);
// Tells the process that something is not needed any more, if it still has it.
void remote_end(Link& link, Ask ask, std::uint64_t number);

}  // namespace tenon::isolate
