// Sessions of the C API.
#include <algorithm>
#include <span>

#include "sdk/c/handles.h"

using namespace tenon;
using namespace tenon::sdk;

namespace {

std::int32_t innermost_dtype(const Type& type) {
  return type.kind == TENON_KIND_TENSOR || !type.element ? type.dtype : innermost_dtype(*type.element);
}

std::vector<PortText> describe(const std::vector<Port>& ports) {
  std::vector<PortText> out(ports.size());
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Port& from = ports[i];
    PortText& to = out[i];
    to.type = from.type.text();
    const bool tensor = from.type.is_tensor();
    if (tensor && from.type.dims)
      for (std::size_t d = 0; d < from.type.dims->size(); ++d) {
        to.dims.push_back((*from.type.dims)[d].value);
        to.dim_names.push_back(d < from.dim_names.size() ? from.dim_names[d].c_str() : "");
      }
    to.port.kind = from.type.kind;
    to.port.dtype = innermost_dtype(from.type);
    to.port.rank = !tensor ? 0 : from.type.dims ? static_cast<std::int32_t>(to.dims.size()) : -1;
    to.port.name = from.name.c_str();
    to.port.type = to.type.c_str();
    to.port.dims = to.dims.data();
    to.port.dim_names = to.dim_names.data();
    to.port.optional = from.optional;
    to.port.memory = from.memory.c_str();
    to.port.dlpack_type = from.dlpack_type;
    to.port.dlpack_id = from.dlpack_id;
  }
  return out;
}

Status load(const tenon_load_options* options, const char* path, std::span<const std::byte> bytes, tenon_session** out) {
  if (!out) return missing("out_session");
  LoadOptions load;
  TENON_TRY(read_load(options, path, load));
  auto made = std::make_unique<tenon_session>();
  TENON_ASSIGN(made->session, path ? Session::load_file(path, std::move(load)) : Session::load_bytes(bytes, std::move(load)));
  made->inputs = describe(made->session->inputs());
  made->outputs = describe(made->session->outputs());
  *out = made.release();
  return {};
}

Status port(const std::vector<PortText>& ports, size_t index, const char* what, tenon_port* out) {
  if (!out) return missing("out_port");
  if (index >= ports.size()) return error(TENON_OUT_OF_RANGE, "{} {} of {}", what, index, ports.size());
  const std::uint32_t size = out->struct_size;
  if (size < 2 * sizeof(std::uint32_t)) return invalid("out_port->struct_size is {}: set it to sizeof the struct", size);
  std::memcpy(out, &ports[index].port, std::min<std::size_t>(size, sizeof(tenon_port)));
  out->struct_size = size;
  return {};
}

bool shares(const Datum& a, const Datum& b) {
  if (a.data && b.data && a.data < b.data + b.bytes && b.data < a.data + a.bytes) return true;
  if (a.strings && a.strings == b.strings) return true;
  for (const Datum& item : b.items)
    if (shares(a, item)) return true;
  return false;
}

// Gives every tensor in `datum` memory of its own where it has none or where an input or an earlier output shares it.
Status own(Datum& datum, std::span<const NamedDatum> feeds, std::span<const NamedDatum> earlier) {
  for (Datum& item : datum.items) TENON_TRY(own(item, feeds, earlier));
  if (!datum.data && !datum.strings) return {};
  bool copy = datum.data && !datum.keep;
  for (const NamedDatum& feed : feeds) copy = copy || shares(datum, feed.datum);
  for (const NamedDatum& output : earlier) copy = copy || shares(datum, output.datum);
  if (!copy) return {};
  TENON_ASSIGN(Datum fresh, Datum::tensor(datum.dtype, datum.dims));
  if (datum.strings) *fresh.strings = *datum.strings;
  else std::memcpy(fresh.data, datum.data, std::min(fresh.bytes, datum.bytes));
  datum = std::move(fresh);
  return {};
}

// Sees to it that a result stands in the caller's memory, also where the run handed out other memory.
Status into(const Datum& asked, Datum& result) {
  if (result.data != asked.data) {
    if (!asked.data || !result.data || asked.dtype != result.dtype || asked.bytes != result.bytes)
      return invalid("an output of {} with shape {} does not fit into the given one of {} with shape {}", dtype_name(result.dtype),
                     dims_text(result.dims), dtype_name(asked.dtype), dims_text(asked.dims));
    std::memcpy(asked.data, result.data, result.bytes);
  }
  if (asked.data) {
    result.data = asked.data;
    result.keep = asked.keep;
  }
  return {};
}

}  // namespace

namespace tenon::sdk {

Status read_load(const tenon_load_options* options, const char* path, LoadOptions& load) {
  tenon_load_options asked;
  TENON_TRY(read_options(options, asked));
  if (asked.configuration) {
    if (!live(asked.configuration)) return none_such("options->configuration");
    load.config = asked.configuration->config;
  } else {
    TENON_SET(load.config, Config::find("", path ? path : ""));
  }
  if (asked.cancel && !live(asked.cancel)) return none_such("options->cancel");
  if (asked.cancel) load.cancel = asked.cancel->token;
  if (asked.progress)
    load.progress = [fn = asked.progress, user = asked.progress_user](double fraction, const char* what) { fn(user, fraction, what); };
  return {};
}

}  // namespace tenon::sdk

tenon_status* tenon_session_load_file(const char* path, const tenon_load_options* options, tenon_session** out_session) {
  return guard([&]() -> Status { return path ? load(options, path, {}, out_session) : missing("path"); });
}
tenon_status* tenon_session_load_bytes(const void* data, size_t bytes, const tenon_load_options* options, tenon_session** out_session) {
  return guard([&]() -> Status {
    if (!data && bytes) return missing("data");
    return load(options, nullptr, {static_cast<const std::byte*>(data), bytes}, out_session);
  });
}
void tenon_session_release(tenon_session* session) { release(session, "tenon_session_release"); }

size_t tenon_session_input_count(const tenon_session* session) { return live(session) ? session->inputs.size() : 0; }
size_t tenon_session_output_count(const tenon_session* session) { return live(session) ? session->outputs.size() : 0; }
tenon_status* tenon_session_input(const tenon_session* session, size_t index, tenon_port* out_port) {
  return guard([&]() -> Status { return live(session) ? port(session->inputs, index, "input", out_port) : none_such("session"); });
}
tenon_status* tenon_session_output(const tenon_session* session, size_t index, tenon_port* out_port) {
  return guard([&]() -> Status { return live(session) ? port(session->outputs, index, "output", out_port) : none_such("session"); });
}
size_t tenon_session_provider_count(const tenon_session* session) { return live(session) ? session->session->providers().size() : 0; }
const char* tenon_session_provider(const tenon_session* session, size_t index) {
  return index < tenon_session_provider_count(session) ? session->session->providers()[index].c_str() : nullptr;
}
const char* tenon_session_metadata(const tenon_session* session, const char* key) {
  if (live(session) && key)
    for (const auto& [name, value] : session->session->model().metadata)
      if (name == key) return value.c_str();
  return nullptr;
}
tenon_status* tenon_session_model_text(const tenon_session* session, char** out_text) {
  return guard([&]() -> Status { return live(session) ? give_text(model_json(session->session->model()), out_text) : none_such("session"); });
}
tenon_status* tenon_session_graph_text(const tenon_session* session, char** out_text) {
  return guard([&]() -> Status { return live(session) ? give_text(session->session->graph_text(), out_text) : none_such("session"); });
}
tenon_status* tenon_session_plan_text(const tenon_session* session, char** out_text) {
  return guard([&]() -> Status { return live(session) ? give_text(session->session->plan_text(), out_text) : none_such("session"); });
}

tenon_status* tenon_session_run(const tenon_session* session, const char* const* input_names, const tenon_datum* const* inputs,
                                size_t input_count, const char* const* output_names, size_t output_count,
                                const tenon_run_options* options, tenon_datum** outputs) {
  return guard([&]() -> Status {
    if (!live(session)) return none_such("session");
    if (input_count && (!input_names || !inputs)) return missing("input_names or inputs");
    const size_t all = session->outputs.size();
    if (!output_names && output_count && output_count != all)
      return invalid("output_count is {} without output_names, and the model has {} outputs", output_count, all);
    const size_t count = output_names ? output_count : all;
    if (count && !outputs) return missing("outputs");
    if (output_names && !count) return {};

    tenon_run_options asked;
    TENON_TRY(read_options(options, asked));
    RunOptions run;
    if (asked.cancel && !live(asked.cancel)) return none_such("options->cancel");
    if (asked.profile && !live(asked.profile)) return none_such("options->profile");
    if (asked.cancel) run.cancel = asked.cancel->token;
    run.state = unwrap(asked.state);
    if (asked.timeout_ns) {
      using Clock = std::chrono::steady_clock;
      const Clock::time_point now = Clock::now();
      const auto most = static_cast<std::uint64_t>((Clock::time_point::max() - now).count());
      run.deadline = asked.timeout_ns < most ? now + std::chrono::nanoseconds(asked.timeout_ns) : Clock::time_point::max();
    }
    Profile profile;
    if (asked.profile) run.profile = &profile;

    std::vector<NamedDatum> feeds;
    feeds.reserve(input_count);
    for (size_t i = 0; i < input_count; ++i) {
      if (!input_names[i]) return invalid("input_names[{}] is NULL", i);
      if (!inputs[i]) return invalid("inputs[{}] (\"{}\") is NULL", i, input_names[i]);
      feeds.push_back({input_names[i], *unwrap(inputs[i])});
    }
    std::vector<std::string> names;
    for (size_t i = 0; output_names && i < count; ++i) {
      if (!output_names[i]) return invalid("output_names[{}] is NULL", i);
      names.emplace_back(output_names[i]);
    }
    std::vector<NamedDatum> results;
    const bool in_place = std::any_of(outputs, outputs + count, [](tenon_datum* d) { return d != nullptr; });
    if (in_place)
      for (size_t i = 0; i < count; ++i)
        results.push_back({output_names ? names[i] : session->session->outputs()[i].name, outputs[i] ? *unwrap(outputs[i]) : Datum()});

    Status status = session->session->run(feeds, names, results, run);
    if (asked.profile) {
      std::lock_guard lock(asked.profile->mutex);
      std::vector<ProfileEvent>& events = asked.profile->profile.events;
      events.insert(events.end(), std::make_move_iterator(profile.events.begin()), std::make_move_iterator(profile.events.end()));
    }
    TENON_TRY(std::move(status));
    if (results.size() != count) return internal("the run gave {} outputs, {} are expected", results.size(), count);

    // Everything that can fail comes before the first output is handed over.
    std::vector<std::unique_ptr<Datum>> made(count);
    for (size_t i = 0; i < count; ++i)
      TENON_TRY(outputs[i] ? into(*unwrap(outputs[i]), results[i].datum) : own(results[i].datum, feeds, std::span(results).first(i)));
    for (size_t i = 0; i < count; ++i)
      if (!outputs[i]) made[i] = std::make_unique<Datum>(std::move(results[i].datum));
    for (size_t i = 0; i < count; ++i) {
      if (outputs[i]) *unwrap(outputs[i]) = std::move(results[i].datum);
      else outputs[i] = wrap(made[i].release());
    }
    return {};
  });
}
