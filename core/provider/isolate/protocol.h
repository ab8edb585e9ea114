// The protocol between core and the process of an isolated provider: what may be asked, and in which form.
//
// A process is started for one device with two sockets: control, over which it gets a channel for each call that is to run beside
// others, and log, over which it sends what it would print. On a channel core asks and the process answers, one message each: the
// code, native code and text of a status, then, where that is OK, the answer. Objects have the numbers that core gives them, so that
// the same requests in the same order make the same objects in a process that was started anew. Nothing is asked in the other direction:
// what a provider may want of its host (constants, packed weights, artifacts, threads, memory) the process has itself, made of the
// same code. Files and memory come as descriptors. Plain data.
#pragma once

#include <atomic>
#include <cstdint>

namespace tenon::isolate {

inline constexpr std::uint32_t protocol_version = 1;
// Descriptors that the process starts with.
inline constexpr int control_fd = 3, log_fd = 4;

enum class Ask : std::uint32_t {
  channel,       // control only, never answered: descriptors of a channel and of its page
  load,          // version, library, trust, options → Description
  open,          // index of the device
  infer,         // a node of the provider's own domain, types of its inputs → types of its outputs
  fingerprint,   // → text
  session,       // number, cache on disk, limits
  constants,     // session, constants; descriptors of files and of memory
  session_end,
  query,         // session, options, workers, graph → claims and refusals
  compile,       // number, session, options, workers, key, graph, part
  program_end,
  plan,          // number, program, sizes → temps and steps
  resize,        // plan, sizes
  plan_end,
  execute,       // binding and, where it changed, its operands and memory; steps → outputs whose size the data decided, strings, events
  binding_end,
  buffer,        // number, domain, bytes, alignment
  buffer_end,
  copy,          // route, places, bytes; descriptor of the memory that bytes of the host go through
  close,         // the device and the provider are taken down
};

// What both sides write and read during a call; one per channel.
struct Page {
  std::atomic<std::uint32_t> cancelled;  // by core
  std::atomic<std::uint32_t> progress;   // of compile, in millionths, by the process
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// What the provider offers beyond what is required.
inline constexpr std::uint32_t has_buffers = 1, has_resize = 2;

// Where an operand is.
enum class Place : std::uint32_t { nowhere, memory, buffer, strings };

}  // namespace tenon::isolate
