// Memory of an isolated device: buffers that live in its process, and copies between them and the host.
#include <algorithm>

#include "core/provider/isolate/remote.h"

namespace tenon::isolate {
namespace {

constexpr std::uint64_t small_copy = 16384;              // what a plan's own values have at most
constexpr std::uint64_t most_kept = std::uint64_t{1} << 20;  // of one buffer
constexpr std::uint64_t at_once = std::uint64_t{8} << 20;    // of one copy through shared memory

RemoteDevice& device_of(tenon_device* d) { return *reinterpret_cast<RemoteDevice*>(d); }
RemoteBuffer& buffer_of(tenon_buffer* b) { return *reinterpret_cast<RemoteBuffer*>(b); }

void write_place(Writer& out, RemoteBuffer* buffer, std::uint64_t offset) {
  out.put<std::uint64_t>(buffer ? buffer->number : 0);
  out.put(offset);
}

// One side may be the host's memory.
Status copy_piece(Peer& peer, std::uint32_t route, RemoteBuffer* to, std::uint64_t to_offset, RemoteBuffer* from, std::uint64_t from_offset,
                  std::byte* host, std::uint64_t bytes) {
  return peer.call_with_memory(
      {Ask::copy, fmt::format("a copy of {} bytes", bytes)},
      [&](Writer& out, SharedMemory& memory, std::vector<int>& fds) -> Status {
        out.put(route), out.put(bytes);
        write_place(out, to, to_offset), write_place(out, from, from_offset);
        if (!host) return {};
        if (memory.bytes() < bytes) {
          TENON_SET(memory, SharedMemory::make(std::max(bytes, std::uint64_t{65536})));
          fds.push_back(memory.fd());
          out.put(memory.bytes());
        }
        if (to) std::memcpy(memory.data(), host, bytes);
        return {};
      },
      [&](Reader& in, SharedMemory& memory) {
        if (!in.done()) in.fail();
        else if (host && !to) std::memcpy(host, memory.data(), bytes);
        return Status();
      });
}

Status copy(RemoteDevice& device, std::uint32_t route, const tenon_address& dst, const tenon_address& src, std::uint64_t bytes) {
  if (route >= device.info.routes.size()) return invalid("copy: route {} of {}", route, device.info.routes.size());
  const RouteInfo& way = device.info.routes[route];
  RemoteBuffer* to = device.host(way.to) ? nullptr : device.buffer(dst.handle);
  RemoteBuffer* from = device.host(way.from) ? nullptr : device.buffer(src.handle);
  if ((!to && !device.host(way.to)) || (!from && !device.host(way.from))) return invalid("copy: an address is no buffer of device \"{}\"", device.info.uid);
  TENON_ASSIGN(const auto peer, device.link->peer());
  if (to) TENON_TRY(to->ready(*peer));
  if (from) {
    TENON_TRY(from->ready(*peer));
    if (bytes && !from->holds(src.offset))
      return error(TENON_UNAVAILABLE, "device \"{}\": its process ended during the run, and its memory with it: run again", device.info.uid);
  }
  if (!to && !from) return std::memmove(static_cast<char*>(dst.handle) + dst.offset, static_cast<const char*>(src.handle) + src.offset, bytes), Status();
  auto* host = static_cast<std::byte*>(to && from ? nullptr : to ? src.handle : dst.handle);
  if (host) host += to ? src.offset : dst.offset;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t now = host ? std::min(at_once, bytes - done) : bytes;
    TENON_TRY(copy_piece(*peer, route, to, dst.offset + done, from, src.offset + done, host ? host + done : nullptr, now));
    done += now;
  }
  if (to) to->wrote(dst.offset, bytes, host);
  return {};
}

}  // namespace

RemoteBuffer* RemoteDevice::buffer(void* handle) {
  std::lock_guard lock(mutex);
  return buffers.contains(handle) ? static_cast<RemoteBuffer*>(handle) : nullptr;
}

Status RemoteBuffer::ready(Peer& peer) {
  std::lock_guard lock(mutex_);
  if (generation_ == peer.generation) return {};
  Writer out;
  out.put(number), out.put(domain), out.put(bytes), out.put(alignment);
  TENON_TRY(peer.call({Ask::buffer, fmt::format("an allocation of {} bytes", bytes)}, out));
  written_.clear();
  if (!contents_.empty()) {
    const auto& all = device->info.routes;
    const auto way = std::find_if(all.begin(), all.end(), [&](const RouteInfo& r) { return r.from == TENON_ROUTE_HOST && r.to == domain; });
    if (way == all.end()) return internal("device \"{}\" has no route from the host", device->info.uid);
    for (auto& [offset, content] : contents_) {
      TENON_TRY(copy_piece(peer, static_cast<std::uint32_t>(way - all.begin()), this, offset, nullptr, 0, content.data(), content.size()));
      written_[offset] = offset + content.size();
    }
  }
  generation_ = peer.generation;
  return {};
}

void RemoteBuffer::wrote(std::uint64_t offset, std::uint64_t count, const void* from) {
  std::lock_guard lock(mutex_);
  // What was known of these places is not true any more.
  std::erase_if(contents_, [&](const auto& c) {
    const bool over = c.first < offset + count && offset < c.first + c.second.size();
    if (over) kept_ -= c.second.size();
    return over;
  });
  if (from && count <= small_copy && kept_ + count <= most_kept) {
    const auto* bytes_of = static_cast<const std::byte*>(from);
    contents_[offset].assign(bytes_of, bytes_of + count);
    kept_ += count;
  }
  std::uint64_t begin = offset, end = offset + count;
  auto at = written_.upper_bound(begin);
  if (at != written_.begin() && std::prev(at)->second >= begin) --at;
  while (at != written_.end() && at->first <= end) {
    begin = std::min(begin, at->first), end = std::max(end, at->second);
    at = written_.erase(at);
  }
  written_[begin] = end;
}

bool RemoteBuffer::holds(std::uint64_t offset) {
  std::lock_guard lock(mutex_);
  const auto at = written_.upper_bound(offset);
  return at != written_.begin() && std::prev(at)->second > offset;
}

tenon_status* remote_buffer_alloc(tenon_device* handle, std::uint32_t domain, std::uint64_t bytes, std::uint64_t alignment, tenon_buffer** out) {
  RemoteDevice& device = device_of(handle);
  auto made = std::make_unique<RemoteBuffer>();
  made->device = &device;
  made->number = device.link->number();
  made->domain = domain, made->bytes = bytes, made->alignment = alignment;
  const auto status = [&]() -> Status {
    TENON_ASSIGN(const auto peer, device.link->peer());
    return made->ready(*peer);
  }();
  if (!status.ok()) return status.clone().release();
  std::lock_guard lock(device.mutex);
  device.buffers.insert(made.get());
  *out = reinterpret_cast<tenon_buffer*>(made.release());
  return nullptr;
}

void remote_buffer_free(tenon_device* handle, tenon_buffer* buffer) {
  RemoteDevice& device = device_of(handle);
  const std::unique_ptr<RemoteBuffer> gone(&buffer_of(buffer));
  {
    std::lock_guard lock(device.mutex);
    device.buffers.erase(gone.get());
  }
  remote_end(*device.link, Ask::buffer_end, gone->number);
}

void* remote_buffer_handle(tenon_device*, tenon_buffer* buffer) { return buffer; }

tenon_status* remote_copy(tenon_device* device, std::uint32_t route, tenon_stream*, const tenon_address* dst, const tenon_address* src, std::uint64_t bytes) {
  return copy(device_of(device), route, *dst, *src, bytes).release();
}

}  // namespace tenon::isolate
