#include "core/provider/isolate/link.h"

#include "core/base/file_map.h"
#include "core/base/log.h"

namespace tenon::isolate {
namespace {

constexpr int most_ends = 5;
constexpr std::size_t files_at_once = max_fds - 1;

std::int32_t level_of(const std::string& topic) {
  std::int32_t level = TENON_LOG_TRACE;
  while (level < TENON_LOG_OFF && !log_enabled(topic, level)) ++level;
  return level;
}

}  // namespace

Link::~Link() {
  if (peer_ && peer_->alive()) (void)peer_->call({Ask::close, "device_close"}, {});
}

std::shared_ptr<Peer> Link::current() {
  std::lock_guard lock(mutex_);
  return peer_ && peer_->alive() ? peer_ : nullptr;
}

Result<std::shared_ptr<Peer>> Link::peer() {
  std::lock_guard lock(mutex_);
  if (peer_ && peer_->alive()) return peer_;
  const std::string& topic = launch_.id.empty() ? "loader" : launch_.id;
  const std::string last = peer_ ? peer_->end() : "its process did not come up";
  if (ends_ >= most_ends)
    return error(TENON_DEVICE_LOST, "{}, and {} of them ended in a row without a run that went well: none is started any more; close all sessions that use device \"{}\" to try again",
                 last, most_ends, name_);
  if (peer_) log_warn(topic, "device \"{}\": {}; it is started again", name_, last);
  ++ends_;
  peer_.reset();
  TENON_ASSIGN(std::shared_ptr<Peer> made, Peer::start(topic, launch_.limit));
  made->generation = ++generation_;
  TENON_TRY(load(*made));
  if (index_) TENON_TRY(open_device(*made, *index_));
  return peer_ = std::move(made);
}

Status Link::load(Peer& peer) {
  Writer out;
  out.put(protocol_version);
  for (const std::string* text : {&launch_.manifest, &launch_.library, &launch_.id, &launch_.sha256_of_manifest, &launch_.sha256, &launch_.options}) out.text(*text);
  out.put<std::uint8_t>(launch_.require_pinned);
  out.put(level_of(launch_.id.empty() ? "loader" : launch_.id));
  return peer.call({Ask::load, fmt::format("the load of \"{}\"", launch_.library)}, out, [&](Reader& in) -> Status {
    Description now;
    if (!read_description(in, now)) return in.fail(), Status();
    if (description_ && description_->library.identity != now.library.identity)
      return error(TENON_FAILED_PRECONDITION, "its process ended, and \"{}\" is another file by now: load the model again", launch_.library);
    if (!description_) description_ = std::move(now);
    return {};
  });
}

Status Link::open_device(Peer& peer, std::uint32_t index) {
  Writer out;
  out.put(index);
  return peer.call({Ask::open, "device_open"}, out);
}

Status Link::open(std::uint32_t index, std::string name) {
  TENON_ASSIGN(const auto there, peer());
  TENON_TRY(open_device(*there, index));
  std::lock_guard lock(mutex_);
  index_ = index;
  name_ = std::move(name);
  return {};
}

std::shared_ptr<RemoteSession> Link::session(LoadTask& load) {
  LoadContext& context = load.context();
  return std::static_pointer_cast<RemoteSession>(context.attached(this, [&] { return std::make_shared<RemoteSession>(shared_from_this(), context); }));
}

// ---- sessions -----------------------------------------------------------------------------------------------------------------

RemoteSession::~RemoteSession() {
  const auto peer = link->current();
  if (!peer || peer->generation != generation_) return;
  Writer out;
  out.put(number);
  (void)peer->call({Ask::session_end, "the end of a session"}, out);
}

namespace {

void describe(Writer& out, const Constant& c) {
  out.put(c.id), out.put(c.dtype);
  out.array(c.dims.data(), c.dims.size());
  out.text(c.file), out.put(c.offset), out.put(c.bytes);
}

}  // namespace

// Files are mapped there as they are here, and what was made here goes through memory that both see.
Status RemoteSession::ready(Peer& peer) {
  std::lock_guard lock(mutex_);
  if (generation_ != peer.generation) {
    Writer out;
    out.put(number);
    out.text(context.cache ? context.cache->folder() : "");
    out.put(context.cache ? context.cache->limit() : 0);
    out.put<std::uint8_t>(context.check == FileCache::Check::content);
    TENON_TRY(peer.call({Ask::session, "the start of a session"}, out));
    generation_ = peer.generation;
    told_ = 0;
    files_.clear();
  }
  for (std::vector<ConstantPtr> news = context.constants.after(told_); !news.empty(); news = context.constants.after(told_)) {
    std::uint64_t bytes = 0;
    std::vector<int> fds;
    Writer list, opened;
    std::uint64_t count = 0, files = 0;
    const auto own = [](const Constant& c) { return !(c.mapped && c.source) && c.dtype != TENON_DTYPE_STRING && c.bytes; };
    for (const ConstantPtr& c : news) {
      const bool file = c->mapped && c->source;
      if (file && !files_.contains(c->source)) {
        if (fds.size() == files_at_once) break;
        files_.emplace(c->source, static_cast<std::uint32_t>(files_.size()));
        fds.push_back(c->source->fd());
        opened.text(c->source->path()), opened.text(c->source->identity());
        ++files;
      }
      ++count;
      describe(list, *c);
      list.put(file ? std::int64_t{files_.at(c->source)} : std::int64_t{-1});
      list.put<std::uint64_t>(c->strings.size());
      for (const std::string& s : c->strings) list.text(s);
      if (!own(*c)) continue;
      list.put(bytes);
      bytes += (c->bytes + 63) / 64 * 64;
    }
    SharedMemory memory;
    if (bytes) {
      TENON_SET(memory, SharedMemory::make(bytes));
      std::byte* to = memory.data();
      for (std::uint64_t i = 0; i < count; ++i)
        if (const Constant& c = *news[i]; own(c)) std::memcpy(to, c.data, c.bytes), to += (c.bytes + 63) / 64 * 64;
      fds.push_back(memory.fd());
    }
    Writer out;
    out.put(number), out.put(files);
    out.append(opened);
    out.put(bytes), out.put(count);
    out.append(list);
    TENON_TRY(peer.call({Ask::constants, fmt::format("taking over {} constants", count), nullptr, fds}, out));
    told_ += count;
  }
  return {};
}

}  // namespace tenon::isolate
