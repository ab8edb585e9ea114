// What stands behind the opaque types of tenon.h, and the border that no exception crosses.
// Owned by the application through the release functions. Threads: see tenon.h.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <tenon/tenon.h>

#include "core/run/session.h"
#include "sdk/c/live.h"

struct tenon_configuration : tenon::sdk::Live<tenon_configuration, 0x434f4e46> {
  explicit tenon_configuration(tenon::Config made) : config(std::move(made)) {}
  tenon::Config config;
};

struct tenon_cancel_token : tenon::sdk::Live<tenon_cancel_token, 0x544f4b4e> {
  std::shared_ptr<tenon::CancelToken> token = std::make_shared<tenon::CancelToken>();
};

struct tenon_profile : tenon::sdk::Live<tenon_profile, 0x50524f46> {
  mutable std::mutex mutex;
  tenon::Profile profile;
};

namespace tenon::sdk {

// The arrays that a tenon_port points into.
struct PortText {
  std::string type;
  std::vector<std::int64_t> dims;
  std::vector<const char*> dim_names;
  tenon_port port{};
};

// A tenon_datum is a Datum; the cast keeps items of sequences reachable without a wrapper each.
inline const Datum* unwrap(const tenon_datum* datum) { return reinterpret_cast<const Datum*>(datum); }
inline Datum* unwrap(tenon_datum* datum) { return reinterpret_cast<Datum*>(datum); }
inline const tenon_datum* wrap(const Datum* datum) { return reinterpret_cast<const tenon_datum*>(datum); }
inline tenon_datum* wrap(Datum* datum) { return reinterpret_cast<tenon_datum*>(datum); }
// So is a tenon_state a State.
inline const State* unwrap(const tenon_state* state) { return reinterpret_cast<const State*>(state); }
inline State* unwrap(tenon_state* state) { return reinterpret_cast<State*>(state); }
inline tenon_state* wrap(State* state) { return reinterpret_cast<tenon_state*>(state); }

// The status for when there is no memory even for a status; never freed.
tenon_status* out_of_memory();
tenon_status* foreign_exception(const char* what);

// A struct of the caller, which may be shorter or longer than ours.
template <class T>
Status read_options(const T* from, T& to) {
  to = {};
  if (!from) return {};
  if (from->struct_size < 2 * sizeof(std::uint32_t)) return invalid("struct_size is {}: set it to sizeof the struct", from->struct_size);
  std::memcpy(&to, from, std::min<std::size_t>(from->struct_size, sizeof to));
  return {};
}

// path: of the model, NULL for bytes; its own configuration counts where the options name none.
Status read_load(const tenon_load_options* options, const char* path, LoadOptions& load);

// Runs fn, which returns a Status, and lets nothing but a status out.
template <class Fn>
tenon_status* guard(Fn&& fn) noexcept {
  try {
    Status status = fn();
    return status.release();
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    return foreign_exception(e.what());
  } catch (...) {
    return foreign_exception("an exception without a description");
  }
}

inline Status missing(const char* what) { return invalid("{} is NULL", what); }
// For handles that are not live.
inline Status none_such(const char* what) { return invalid("{} is NULL, was released already, or is an object of another kind", what); }

// A copy for tenon_text_release.
Status give_text(const std::string& text, char** out_text);

// JSON; report.cpp.
std::string model_json(const ModelInfo& model);

}  // namespace tenon::sdk

struct tenon_session : tenon::sdk::Live<tenon_session, 0x53455353> {
  std::unique_ptr<tenon::Session> session;
  std::vector<tenon::sdk::PortText> inputs, outputs;
};
