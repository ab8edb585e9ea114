#include "core/provider/isolate/serve.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "core/base/log.h"
#include "core/provider/host.h"
#include "core/provider/isolate/graph_wire.h"
#include "core/provider/isolate/link.h"
#include "core/provider/loader.h"

namespace tenon::isolate {
namespace {

constexpr std::size_t longest_line = 8192;  // of a log

// What is printed goes to core. A log that nobody reads is full some day: then lines are dropped rather than work held up.
void log_to_core(std::int32_t level, std::string_view, std::string_view text) {
  Writer line;
  line.put(level), line.text(text.substr(0, longest_line));
  ::send(log_fd, line.bytes().data(), line.bytes().size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// The receiver of what an operator's infer says; the ABI knows it as tenon_infer_sink.
struct Inferred {
  Writer out;
  std::uint64_t count = 0;
  static void take(tenon_infer_sink* sink, std::uint32_t index, std::int32_t dtype, std::int32_t rank, const std::int64_t* dims) {
    auto& self = *reinterpret_cast<Inferred*>(sink);
    ++self.count;
    self.out.put(index), self.out.put(dtype), self.out.put(rank);
    self.out.array(dims, rank > 0 ? static_cast<std::uint64_t>(rank) : 0);
  }
};

}  // namespace

void Server::run() {
  log_set_sink(log_to_core);
  const pid_t parent = ::getppid();
  Fd watch(static_cast<int>(::syscall(SYS_pidfd_open, parent, 0)));
  Socket control{Fd(control_fd)};
  for (;;) {
    pollfd ends[2] = {{control.fd(), POLLIN, 0}, {watch.get(), POLLIN, 0}};
    // Without a way to be told of the parent's end it is looked for.
    const int n = ::poll(ends, 2, watch ? -1 : 1000);
    if (::getppid() != parent || ends[1].revents) ::_exit(0);
    if (n <= 0 || !ends[0].revents) continue;
    Message message;
    const Socket::Got got = control.receive(message);
    if (got == Socket::Got::nothing_yet) continue;
    if (got != Socket::Got::message || message.fds.size() != 2) ::_exit(0);
    Result<SharedMemory> page = SharedMemory::map(std::move(message.fds[1]), sizeof(Page), false);
    if (!page.ok()) ::_exit(1);
    std::thread([this, channel = std::make_shared<ServedChannel>(std::move(message.fds[0]), *std::move(page))] { serve(*channel); }).detach();
  }
}

void Server::serve(ServedChannel& channel) {
  for (Message message;;) {
    const Socket::Got got = channel.socket.receive(message);
    if (got == Socket::Got::nothing_yet) continue;
    if (got != Socket::Got::message) return;
    Writer body, reply;
    Status status;
    // Core calls from one thread after the other; here that is one channel after the other, which must see what the last one did.
    { std::lock_guard before(mutex_); }
    try {
      Reader in(message.body);
      status = answer(static_cast<Ask>(message.kind), in, message.fds, channel, body);
      if (!in.ok()) status = internal("its process does not understand request {} of {} bytes", message.kind, message.body.size());
    } catch (const std::exception& e) {
      status = internal("{}", e.what());
    }
    // Core puts the provider's name in front itself.
    std::string_view text = status.text();
    const std::string name = provider_ ? "provider " + provider_->id() + ": " : "";
    if (!name.empty() && text.starts_with(name)) text.remove_prefix(name.size());
    reply.put(status.code()), reply.put(status.native_code()), reply.text(text);
    if (status.ok()) reply.append(body);
    message.fds.clear();
    { std::lock_guard after(mutex_); }
    if (!channel.socket.send(0, reply.bytes()).ok()) return;
  }
}

Status Server::answer(Ask ask, Reader& in, std::vector<Fd>& fds, ServedChannel& channel, Writer& out) {
  if (ask == Ask::load) return load(in, out);
  if (!provider_) return internal("its process has no provider");
  if (ask == Ask::infer) return infer(in, out);
  if (ask == Ask::open) {
    TENON_SET(device_, provider_->open_device(in.get<std::uint32_t>()));
    return {};
  }
  if (ask == Ask::close) return close(), Status();
  if (!device_) return internal("its process has opened no device");
  switch (ask) {
    case Ask::fingerprint: {
      TENON_ASSIGN(const std::string text, device_->fingerprint());
      out.text(text);
      return {};
    }
    case Ask::session: return begin_session(in);
    case Ask::constants: return add_constants(in, fds);
    case Ask::session_end: return end(sessions_, in.get<std::uint64_t>()), Status();
    case Ask::query: return query(in, channel, out);
    case Ask::compile: return compile(in, channel);
    case Ask::program_end: return end(programs_, in.get<std::uint64_t>()), Status();
    case Ask::plan: return plan(in, channel, out);
    case Ask::resize: return resize(in, channel);
    case Ask::plan_end: return end(plans_, in.get<std::uint64_t>()), Status();
    case Ask::execute: return execute(in, fds, channel, out);
    case Ask::binding_end: return end(bindings_, in.get<std::uint64_t>()), Status();
    case Ask::buffer: return allocate(in);
    case Ask::buffer_end: return end(buffers_, in.get<std::uint64_t>()), Status();
    case Ask::copy: return copy(in, fds, channel);
    default: return internal("its process was asked for {}", static_cast<std::uint32_t>(ask));
  }
}

Status Server::load(Reader& in, Writer& out) {
  const auto version = in.get<std::uint32_t>();
  if (version != protocol_version)
    return error(TENON_ABI_MISMATCH, "tenon_provider_host speaks protocol {}, this libtenon speaks {}: both must be of one installation", protocol_version, version);
  const std::string path(in.text()), library(in.text()), id(in.text()), of_manifest(in.text()), pinned(in.text()), options(in.text());
  const bool require_pinned = in.get<std::uint8_t>() != 0;
  const auto level = in.get<std::int32_t>();
  if (!in.done() || provider_) return in.fail(), Status();
  log_set_level("", level);
  Manifest manifest = bare_manifest(library);
  if (!path.empty()) TENON_SET(manifest, read_manifest(path));
  manifest.library = library, manifest.id = id, manifest.sha256 = of_manifest;
  TENON_ASSIGN(LoadedLibrary loaded, load_library(manifest, {pinned, require_pinned}));
  TENON_ASSIGN(OptionsPtr parsed, make_options(options));
  TENON_SET(provider_, Provider::make(std::move(manifest), std::move(loaded), std::move(parsed)));
  write_description(out, *provider_);
  return {};
}

Status Server::infer(Reader& in, Writer& out) {
  GraphReader reader(in);
  const tenon_node* node = reader.node();
  std::vector<tenon_infer_input> inputs(in.count(12));
  std::vector<std::vector<std::int64_t>> dims(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tenon_infer_input& to = inputs[i];
    to.struct_size = sizeof to;
    to.dtype = in.get<std::int32_t>(), to.rank = in.get<std::int32_t>();
    dims[i] = in.array<std::int64_t>();
    to.dims = to.rank >= 0 ? dims[i].data() : nullptr;
  }
  if (!node || !in.done()) return in.fail(), Status();
  const auto* raw = static_cast<const tenon_schema_extension*>(provider_->extension("tenon.schema", 1));
  const auto schemas = raw ? full_copies<tenon_op_schema>(full_copy(*raw).schemas) : std::vector<tenon_op_schema>();
  const tenon_op_schema* best = nullptr;
  for (const tenon_op_schema& s : schemas)
    if (view(s.domain) == view(node->domain) && view(s.op_type) == view(node->op_type) && s.infer)
      if (!best || (s.since_version <= node->since_version && s.since_version > best->since_version)) best = &s;
  if (!best) return internal("its process knows no operator {}.{}", view(node->domain), view(node->op_type));
  Inferred made;
  const tenon_infer_args args{sizeof(args), 0, node, {inputs.data(), inputs.size(), sizeof(tenon_infer_input), 0}, reinterpret_cast<tenon_infer_sink*>(&made), Inferred::take};
  TENON_TRY(take_status(best->infer(provider_->handle(), &args)));
  out.put(made.count);
  out.append(made.out);
  return {};
}

Status Server::begin_session(Reader& in) {
  const auto number = in.get<std::uint64_t>();
  const std::string folder(in.text());
  const auto limit = in.get<std::uint64_t>();
  const bool content = in.get<std::uint8_t>() != 0;
  auto made = std::make_shared<ServedSession>();
  made->context.query_limit = std::chrono::hours(24 * 365);  // core has the clock
  made->context.check = content ? FileCache::Check::content : FileCache::Check::header;
  if (!folder.empty()) TENON_SET(made->context.cache, FileCache::open(folder, limit));
  keep(sessions_, number, std::move(made));
  return {};
}

Status Server::add_constants(Reader& in, std::vector<Fd>& fds) {
  TENON_ASSIGN(const auto session, find(sessions_, in.get<std::uint64_t>(), "session"));
  std::size_t next = 0;
  for (std::uint64_t files = in.count(16); files > 0; --files) {
    const std::string path(in.text()), identity(in.text());
    if (next >= fds.size()) return in.fail(), Status();
    TENON_ASSIGN(auto map, FileMap::adopt(fds[next++].release(), path, identity));
    session->files.push_back(std::move(map));
  }
  std::shared_ptr<SharedMemory> memory;
  if (const auto bytes = in.get<std::uint64_t>()) {
    if (next >= fds.size()) return in.fail(), Status();
    TENON_ASSIGN(SharedMemory mapped, SharedMemory::map(std::move(fds[next]), bytes, false));
    mapped.close_fd();
    memory = std::make_shared<SharedMemory>(std::move(mapped));
  }
  for (std::uint64_t count = in.count(16); count > 0; --count) {
    auto c = std::make_shared<Constant>();
    c->id = in.get<std::uint64_t>(), c->dtype = in.get<DType>(), c->dims = in.array<std::int64_t>();
    c->file = in.text(), c->offset = in.get<std::uint64_t>(), c->bytes = in.get<std::uint64_t>();
    const auto file = in.get<std::int64_t>();
    for (std::uint64_t strings = in.count(8); strings > 0; --strings) c->strings.emplace_back(in.text());
    const auto fits = [&](std::uint64_t offset, std::uint64_t of) { return offset <= of && c->bytes <= of - offset; };
    if (file >= 0) {
      if (static_cast<std::uint64_t>(file) >= session->files.size()) return in.fail(), Status();
      const auto& map = session->files[static_cast<std::size_t>(file)];
      if (!fits(c->offset, map->bytes().size())) return error(TENON_DATA_LOSS, "\"{}\" has become shorter", map->path());
      c->data = map->bytes().data() + c->offset;
      c->mapped = true, c->source = map.get(), c->keep = map;
    } else if (c->dtype != TENON_DTYPE_STRING && c->bytes) {
      const auto offset = in.get<std::uint64_t>();
      if (!memory || !fits(offset, memory->bytes())) return in.fail(), Status();
      c->data = memory->data() + offset;
      c->keep = memory;
    }
    if (!in.ok()) return {};
    session->context.constants.add(c);
  }
  return {};
}

void Server::close() {
  bindings_.clear(), plans_.clear(), programs_.clear(), buffers_.clear(), sessions_.clear();
  if (copy_stream_) device_->stream_destroy(std::exchange(copy_stream_, nullptr));
  device_.reset();
  provider_.reset();
}

}  // namespace tenon::isolate
