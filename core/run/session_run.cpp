#include "core/run/session_impl.h"

#include <algorithm>

namespace tenon {

namespace {

// A state while a run has it.
class Holding {
 public:
  explicit Holding(State* state) : state_(state) {}
  Holding(const Holding&) = delete;
  ~Holding() {
    if (state_) state_->give_back();
  }

 private:
  State* state_;
};

// What a run needs besides the context: kept per thread, so that a warm run allocates nothing.
struct Scratch {
  std::vector<Datum> feeds, outputs;
  std::vector<const Datum*> pointers;
  std::vector<bool> wanted;
  std::vector<std::size_t> order;
};

Datum borrowed(const ConstantPtr& c) {
  Datum d;
  d.dtype = c->dtype;
  d.dims = c->dims;
  d.data = const_cast<std::byte*>(c->data);
  d.bytes = c->bytes;
  if (c->dtype == TENON_DTYPE_STRING) d.strings = std::make_shared<std::vector<std::string>>(c->strings);
  return d;
}

}  // namespace

Status Session::Impl::check(const Port& port, const Datum& datum) const {
  if (datum.kind != port.type.kind && !(port.type.kind == TENON_KIND_OPTIONAL))
    return invalid("input \"{}\": expected {}, found another kind of value", port.name, port.type.text());
  if (port.type.kind != TENON_KIND_TENSOR) return {};
  if (datum.dtype != port.type.dtype)
    return invalid("input \"{}\": unexpected input data type: found tensor({}), expected {}", port.name, dtype_onnx_name(datum.dtype), port.type.text());
  if (datum.dtype == TENON_DTYPE_STRING ? !datum.strings || static_cast<std::int64_t>(datum.strings->size()) != datum.count() : false)
    return invalid("input \"{}\": the strings do not fill the shape {}", port.name, dims_text(datum.dims));
  if (datum.dtype != TENON_DTYPE_STRING) {
    const Checked bytes = dtype_bytes(datum.dtype, element_count(datum.dims));
    if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > datum.bytes || (datum.bytes && !datum.data))
      return invalid("input \"{}\": shape {} needs more bytes than the {} given", port.name, dims_text(datum.dims), datum.bytes);
  }
  if (!port.type.dims) return {};
  if (datum.dims.size() != port.type.dims->size())
    return invalid("input \"{}\": invalid rank: found {} {}, expected {}", port.name, datum.dims.size(), dims_text(datum.dims), port.type.dims->size());
  for (std::size_t d = 0; d < datum.dims.size(); ++d)
    if (const Dim& dim = (*port.type.dims)[d]; dim.fixed() && dim.value != datum.dims[d])
      return invalid("input \"{}\": invalid dimensions: index {}: found {}, expected {} (shape found {})", port.name, d, datum.dims[d], dim.value,
                     dims_text(datum.dims));
  return {};
}

std::string Session::Impl::input_names() const {
  std::string out;
  for (const Port& p : shown_inputs) out += (out.empty() ? "\"" : ", \"") + p.name + "\"";
  return out;
}

Result<State*> Session::Impl::state_of(const RunOptions& run) const {
  if (!run.state) return state.get();
  if (!form) return invalid("the run names a state, and the session keeps none; /session/state names the inputs that it should keep");
  if (run.state->form() != form) return invalid("the run's state was made by another session");
  return run.state;
}

Status Session::Impl::run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& results,
                          const RunOptions& run_options, std::vector<NodeBan>& refused) const {
  if (!environment.unsupported.ok()) return environment.unsupported.clone();
  static thread_local Scratch scratch_of_thread;
  Scratch scratch = std::move(scratch_of_thread);  // a run inside a run (a log sink that runs a model) gets a fresh one
  scratch.feeds.resize(inputs.size());
  scratch.pointers.assign(inputs.size(), nullptr);
  for (const NamedDatum& feed : feeds) {
    const auto it = input_index.find(feed.name);
    if (it == input_index.end() || (form && it->second >= form->inputs.size())) return invalid("invalid input name: \"{}\"; the model takes {}", feed.name, input_names());
    TENON_TRY(check(inputs[it->second], feed.datum));
    Datum& d = scratch.feeds[it->second];
    if (scratch.pointers[it->second]) return invalid("input \"{}\" is fed twice", feed.name);
    d.kind = feed.datum.kind, d.dtype = feed.datum.dtype;
    d.dims.assign(feed.datum.dims.begin(), feed.datum.dims.end());
    d.data = feed.datum.data, d.bytes = feed.datum.bytes;
    d.keep.reset();  // the bytes are the caller's: results never share them
    d.strings = feed.datum.strings;
    d.items = feed.datum.items;
    d.int_keys = feed.datum.int_keys;
    d.string_keys = feed.datum.string_keys;
    scratch.pointers[it->second] = &d;
  }
  TENON_ASSIGN(State* const kept, state_of(run_options));
  if (kept && !kept->take())
    return error(TENON_FAILED_PRECONDITION, "the state is in use by another run; each conversation needs a state of its own");
  const Holding holding(kept);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (scratch.pointers[i] || kept_input(i)) continue;
    Datum& d = scratch.feeds[i];
    if (defaults[i]) {
      d = borrowed(defaults[i]);
    } else if (inputs[i].type.kind == TENON_KIND_OPTIONAL) {
      d = Datum{};
      d.kind = TENON_KIND_OPTIONAL;
    } else {
      std::string missing;
      for (std::size_t k = i; k < inputs.size(); ++k)
        if (!scratch.pointers[k] && !inputs[k].optional && !kept_input(k)) missing += (missing.empty() ? "\"" : ", \"") + inputs[k].name + "\"";
      return invalid("required inputs ({}) are missing; the model takes {}", missing, input_names());
    }
    scratch.pointers[i] = &d;
  }
  // Which outputs, in which order, and where they go.
  scratch.wanted.assign(outputs.size(), names.empty());
  scratch.order.clear();
  for (const std::string& name : names) {
    const auto it = output_index.find(name);
    if (it == output_index.end()) {
      std::string all;
      for (const Port& p : shown_outputs) all += (all.empty() ? "\"" : ", \"") + p.name + "\"";
      return invalid("invalid output name: \"{}\"; the model makes {}", name, all);
    }
    scratch.wanted[it->second] = true;
    scratch.order.push_back(it->second);
  }
  if (names.empty())
    for (std::size_t o = 0; o < outputs.size(); ++o)
      if (!kept_output(o)) scratch.order.push_back(o);
  for (std::size_t o = 0; o < outputs.size(); ++o)
    if (kept_output(o)) scratch.wanted[o] = true;
  results.resize(scratch.order.size());
  scratch.outputs.resize(outputs.size());
  for (Datum& d : scratch.outputs) d.data = nullptr, d.bytes = 0, d.keep.reset(), d.strings.reset(), d.items.clear();
  if (kept) TENON_TRY(kept->begin(scratch.pointers, scratch.outputs));
  for (std::size_t r = 0; r < results.size(); ++r) {
    Datum& given = results[r].datum;
    if (!given.data) continue;
    Datum& d = scratch.outputs[scratch.order[r]];
    d.kind = TENON_KIND_TENSOR, d.dtype = given.dtype;
    d.data = given.data, d.bytes = given.bytes;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Datum& in = *scratch.pointers[i];
      if (in.data == given.data && in.kind == TENON_KIND_TENSOR) continue;  // in place, if the plan can: the execution checks it
      if (in.data && in.data < given.data + given.bytes && given.data < in.data + in.bytes)
        return invalid("the memory given for output \"{}\" overlaps that of input \"{}\"", outputs[scratch.order[r]].name, inputs[i].name);
    }
  }
  RunState run_state;
  run_state.max_workers = environment.max_workers;
  run_state.profile = run_options.profile;
  run_state.outputs_may_move = kept != nullptr;
  const Clock::time_point until = deadline_of(run_options);
  const CancelToken* cancel = run_options.cancel.get();
  if (cancel) run_state.control.reset([cancel] { return cancel->cancelled(); }, until);
  else run_state.control.reset({}, until);
  if (run_state.control.stop()) return run_state.control.take();
  Status status = block->run(run_state, scratch.pointers, scratch.outputs, names.empty() ? nullptr : &scratch.wanted);
  run_state.gang.reset();
  refused = std::move(run_state.refused);
  for (Datum& d : scratch.feeds) d.strings.reset(), d.items.clear();
  if (!status.ok()) return status;
  if (kept) kept->finish(scratch.outputs);
  for (std::size_t r = 0; r < results.size(); ++r) {
    Datum& made = scratch.outputs[scratch.order[r]];
    results[r].name = outputs[scratch.order[r]].name;
    Datum& to = results[r].datum;
    const bool again = std::find(scratch.order.begin() + static_cast<std::ptrdiff_t>(r) + 1, scratch.order.end(), scratch.order[r]) != scratch.order.end();
    if (to.data) {
      to.kind = made.kind, to.dtype = made.dtype;
      to.dims.assign(made.dims.begin(), made.dims.end());
    } else if (again) {
      to = made;
    } else {
      to = std::move(made);
    }
  }
  scratch_of_thread = std::move(scratch);
  return status;
}

Session::Impl::Clock::time_point Session::Impl::deadline_of(const RunOptions& run) const {
  const auto limit = options.config.limits.run;
  return limit.count() > 0 ? std::min(run.deadline, Clock::now() + std::chrono::duration_cast<Clock::duration>(limit)) : run.deadline;
}

Status Session::run(std::span<const NamedDatum> feeds, std::span<const std::string> names, std::vector<NamedDatum>& outputs,
                    const RunOptions& options) const {
  Replacements& others = *impl_->replacements;
  if (const Session* instead = others.instead()) return instead->run(feeds, names, outputs, options);
  if (others.has_signatures())
    if (const Session* other = others.for_signature(signature_of(feeds))) return other->run(feeds, names, outputs, options);
  std::vector<NodeBan> refused;
  Status status = run_here(feeds, names, outputs, options, refused);
  const bool gone = status.code() == TENON_DEVICE_LOST || (status.code() == TENON_UNAVAILABLE && Watch::outstanding() > 0);
  const bool lost = gone && impl_->options.config.placement.replace_lost;
  if (status.ok() || (!lost && (status.code() != TENON_UNSUPPORTED_SHAPE || refused.empty()))) return status;
  if (impl_->form) return error(status.code(), "{}; the model is not placed anew, as what the session keeps between runs would be forgotten", status.text());
  const Result<const Session*> other = lost ? others.without_lost() : others.without(signature_of(feeds), std::move(refused));
  if (!other.ok()) return error(status.code(), "{}; the model cannot be placed anew: {}", status.text(), other.status().text());
  // In memory of the caller that is input and output at once half a step may have been done.
  if (lost && writes_over_inputs(feeds, outputs))
    return error(status.code(), "{}; the run is not repeated, as it may have written over its inputs; the next run has other devices", status.text());
  return (*other)->run(feeds, names, outputs, options);
}

}  // namespace tenon
