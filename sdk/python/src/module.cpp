// tenonrt._core: the thin part under the Python package; see tenonrt/__init__.py for what users see.
//
// A session's run is one call from Python: feeds are bound, the GIL is released for the run, results become arrays.
#include <cstring>
#include <optional>
#include <unordered_map>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "convert.h"
#include "failure.h"
#include "interrupt.h"
#include "state.h"
#include "value.h"

namespace nb = nanobind;
using namespace tenon::python;

namespace {

template <class Fn, class... Args>
std::string text(Fn fn, Args... args) {
  const std::unique_ptr<char, void (*)(char*)> raw(out<char>(fn, args...), &tenon_text_release);
  return raw.get();
}

const char* optional_text(const std::optional<std::string>& s) { return s ? s->c_str() : nullptr; }

struct Configuration {
  explicit Configuration(tenon_configuration* raw) : raw(raw, &tenon_configuration_release) {}
  std::unique_ptr<tenon_configuration, void (*)(tenon_configuration*)> raw;
};

// Cancels for ever, but renew starts again.
struct CancelToken {
  CancelToken() : raw(out<tenon_cancel_token>(&tenon_cancel_token_create), &tenon_cancel_token_release) {}
  void renew() { raw.reset(out<tenon_cancel_token>(&tenon_cancel_token_create)); }
  std::unique_ptr<tenon_cancel_token, void (*)(tenon_cancel_token*)> raw;
};

struct Profile {
  Profile() : raw(out<tenon_profile>(&tenon_profile_create), &tenon_profile_release) {}
  std::unique_ptr<tenon_profile, void (*)(tenon_profile*)> raw;
};

// After a call that Ctrl-C may have ended: raises what Python's handler raises.
void after_interrupt(tenon_status* status, CancelToken* own) {
  if (own) own->renew();
  if (PyErr_CheckSignals() == 0) return check(status);
  tenon_status_release(status);
  throw nb::python_error();
}

// progress: None or a callable, which outlives the options.
tenon_load_options load_options(const Configuration& configuration, const nb::object& progress) {
  tenon_load_options options{};
  options.struct_size = sizeof options;
  options.configuration = configuration.raw.get();
  if (!progress.is_none()) {
    options.progress_user = progress.ptr();
    options.progress = [](void* user, double fraction, const char* what) {
      const nb::gil_scoped_acquire gil;
      try {
        nb::borrow(static_cast<PyObject*>(user))(fraction, what);
      } catch (nb::python_error& e) {
        e.discard_as_unraisable("tenonrt: progress");
      }
    };
  }
  return options;
}

std::string compile_bundle(const std::string& model, const std::string& bundle, std::uint32_t flags, Configuration& configuration, CancelToken* cancel,
                           nb::object progress) {
  tenon_load_options options = load_options(configuration, progress);
  Interrupt interrupt(cancel ? cancel->raw.get() : nullptr);
  options.cancel = interrupt.token();
  char* report = nullptr;
  tenon_status* status = nullptr;
  {
    const nb::gil_scoped_release released;
    status = tenon_bundle_compile(model.c_str(), bundle.c_str(), flags, &options, &report);
  }
  const std::unique_ptr<char, void (*)(char*)> held(report, &tenon_text_release);
  if (interrupt.finish()) after_interrupt(status, cancel);
  else check(status);
  return held ? held.get() : "";
}

class Session {
 public:
  Session(std::optional<std::string> path, nb::object data, Configuration& configuration, CancelToken* cancel, nb::object progress) {
    tenon_load_options options = load_options(configuration, progress);
    const char* bytes = nullptr;
    std::size_t size = 0;
    if (!path) {
      bytes = PyBytes_AsString(data.ptr());
      if (!bytes) throw nb::python_error();
      size = static_cast<std::size_t>(PyBytes_GET_SIZE(data.ptr()));
    }
    Interrupt interrupt(cancel ? cancel->raw.get() : nullptr);
    options.cancel = interrupt.token();
    tenon_session* made = nullptr;
    tenon_status* status = nullptr;
    {
      const nb::gil_scoped_release released;
      status = path ? tenon_session_load_file(path->c_str(), &options, &made) : tenon_session_load_bytes(bytes, size, &options, &made);
    }
    if (made) session_.reset(made);
    if (interrupt.finish()) after_interrupt(status, cancel);
    else check(status);

    for (std::size_t i = 0; i < tenon_session_input_count(made); ++i) {
      tenon_port port = this->port(i, &tenon_session_input);
      inputs_.push_back({port, TypeTree(port.type)});
      by_name_.emplace(port.name, i);
    }
    for (std::size_t i = 0; i < tenon_session_output_count(made); ++i) output_names_.push_back(this->port(i, &tenon_session_output).name);
  }

  nb::list describe(bool inputs) const {
    nb::list all;
    const std::size_t count = inputs ? inputs_.size() : output_names_.size();
    for (std::size_t i = 0; i < count; ++i) {
      const tenon_port p = port(i, inputs ? &tenon_session_input : &tenon_session_output);
      nb::object shape = nb::none();
      if (p.rank >= 0) {
        nb::list dims;
        for (std::int32_t d = 0; d < p.rank; ++d) {
          if (p.dims[d] >= 0) dims.append(nb::int_(static_cast<long long>(p.dims[d])));
          else if (p.dim_names[d][0]) dims.append(nb::str(p.dim_names[d]));
          else dims.append(nb::none());
        }
        shape = std::move(dims);
      }
      all.append(nb::make_tuple(p.name, p.type, shape, p.optional != 0, p.memory, nb::make_tuple(p.dlpack_type, p.dlpack_id)));
    }
    return all;
  }

  nb::list run(nb::object names, nb::object feeds, CancelToken* cancel, std::uint64_t timeout_ns, Profile* profile, State* state) const {
    if (!PyDict_Check(feeds.ptr())) feeds = dict_of(feeds);
    std::vector<DatumPtr> data;
    Keep keep;
    std::vector<const char*> feed_names, output_names;
    std::vector<const tenon_datum*> raw;
    const auto size = static_cast<std::size_t>(PyDict_GET_SIZE(feeds.ptr()));
    data.reserve(size), feed_names.reserve(size), raw.reserve(size);
    PyObject *key, *value;
    std::size_t next = 0;
    for (Py_ssize_t at = 0; PyDict_Next(feeds.ptr(), &at, &key, &value); ++next) {
      const Input& input = find(key, next);
      if (value == Py_None && input.port.optional) continue;
      data.push_back(to_datum(input, value, keep));
      feed_names.push_back(input.port.name);
      raw.push_back(data.back().get());
    }
    if (data.size() < inputs_.size()) check_complete(feeds.ptr());
    if (!names.is_none()) read_names(names, output_names);
    const std::size_t count = names.is_none() ? output_names_.size() : output_names.size();
    std::vector<tenon_datum*> outputs(count);

    std::vector<DatumPtr> results;
    results.reserve(count);
    released(cancel, timeout_ns, profile, state, [&](const tenon_run_options& options) {
      tenon_status* status = tenon_session_run(session_.get(), feed_names.data(), raw.data(), raw.size(), names.is_none() ? nullptr : output_names.data(),
                                               names.is_none() ? 0 : count, &options, outputs.data());
      for (tenon_datum* output : outputs) results.emplace_back(output);
      return status;
    });
    nb::list all = nb::steal<nb::list>(PyList_New(static_cast<Py_ssize_t>(count)));
    if (!all.is_valid()) throw nb::python_error();
    for (std::size_t i = 0; i < count; ++i)
      PyList_SET_ITEM(all.ptr(), static_cast<Py_ssize_t>(i), to_python(std::move(results[i])).release().ptr());
    return all;
  }

  void run_bound(Binding& binding, CancelToken* cancel, std::uint64_t timeout_ns, Profile* profile, State* state) const {
    released(cancel, timeout_ns, profile, state, [&](const tenon_run_options& options) { return binding.run(session_.get(), options); });
  }

  // The session's own; null where it keeps nothing.
  State* state() const {
    tenon_state* own = tenon_session_state(session_.get());
    return own ? new State(own, false) : nullptr;
  }
  State* new_state() const { return new State(out<tenon_state>(&tenon_state_create, session_.get()), true); }

  std::vector<std::string> providers() const {
    std::vector<std::string> all;
    const std::size_t count = tenon_session_provider_count(session_.get());
    for (std::size_t i = 0; i < count; ++i) all.emplace_back(tenon_session_provider(session_.get(), i));
    return all;
  }
  std::string model_text() const { return text(&tenon_session_model_text, session_.get()); }
  std::string explain(const std::string& format) const { return text(&tenon_session_explain, session_.get(), format.c_str()); }
  nb::list placement() const {
    nb::list all;
    for (std::size_t n = 0; n < tenon_session_node_count(session_.get()); ++n) {
      tenon_placed_node p{};
      p.struct_size = sizeof p;
      check(tenon_session_node(session_.get(), n, &p));
      all.append(nb::make_tuple(p.node, p.op, p.provider, p.device, p.part, p.reason, p.graph, p.cost_ns, p.measured != 0));
    }
    return all;
  }
  std::string graph_text() const { return text(&tenon_session_graph_text, session_.get()); }
  std::string plan_text() const { return text(&tenon_session_plan_text, session_.get()); }

 private:
  // Calls run(options) without the GIL; Ctrl-C ends it. Throws its failure.
  template <class Run>
  void released(CancelToken* cancel, std::uint64_t timeout_ns, Profile* profile, State* state, const Run& run) const {
    Interrupt interrupt(cancel ? cancel->raw.get() : nullptr);
    tenon_run_options options{};
    options.struct_size = sizeof options;
    options.cancel = interrupt.token();
    options.timeout_ns = timeout_ns;
    options.profile = profile ? profile->raw.get() : nullptr;
    options.state = state ? state->raw() : nullptr;
    tenon_status* status = nullptr;
    {
      const nb::gil_scoped_release no_gil;
      status = run(options);
    }
    if (interrupt.finish()) after_interrupt(status, cancel);
    else check(status);
  }

  template <class Get>
  tenon_port port(std::size_t index, Get get) const {
    tenon_port p{};
    p.struct_size = sizeof p;
    check(get(session_.get(), index, &p));
    return p;
  }

  // Feeds mostly come in the model's order, so the input at the same place is tried first.
  const Input& find(PyObject* key, std::size_t guess) const {
    if (!PyUnicode_Check(key)) throw nb::type_error("the keys of the input feed must be names of inputs (str)");
    Py_ssize_t size = 0;
    const char* name = PyUnicode_AsUTF8AndSize(key, &size);
    if (!name) throw nb::python_error();
    if (guess < inputs_.size() && std::strcmp(inputs_[guess].port.name, name) == 0) return inputs_[guess];
    const auto found = by_name_.find(std::string_view(name, static_cast<std::size_t>(size)));
    if (found != by_name_.end()) return inputs_[found->second];
    const char* more = tenon_session_state(session_.get()) ? "; others are kept by the session's state" : "";
    throw Failure{TENON_INVALID_ARGUMENT, std::string("Invalid input name: ") + name, "the model's inputs are: " + input_list() + more};
  }
  std::string input_list() const {
    std::string all;
    for (const Input& i : inputs_) all += (all.empty() ? "" : ", ") + std::string(i.port.name);
    return all.empty() ? "none" : all;
  }

  void check_complete(PyObject* feeds) const {
    std::string absent;
    for (const Input& input : inputs_) {
      if (input.port.optional) continue;
      const nb::str name(input.port.name);
      if (PyDict_GetItemWithError(feeds, name.ptr())) continue;
      if (PyErr_Occurred()) throw nb::python_error();
      absent += (absent.empty() ? "'" : ", '") + std::string(input.port.name) + "'";
    }
    if (absent.empty()) return;
    const nb::object given = nb::steal(PyDict_Keys(feeds));
    throw Failure{TENON_INVALID_ARGUMENT,
                  "Required inputs ([" + absent + "]) are missing from input feed (" + nb::cast<std::string>(nb::repr(given)) + ").", {}};
  }

  static nb::object dict_of(const nb::object& mapping) {
    if (!PyMapping_Check(mapping.ptr()) || PyList_Check(mapping.ptr()) || PyTuple_Check(mapping.ptr()))
      throw nb::type_error("the input feed must be a dict of input names and values");
    return nb::borrow(reinterpret_cast<PyObject*>(&PyDict_Type))(mapping);
  }

  void read_names(const nb::object& names, std::vector<const char*>& out) const {
    if (PyUnicode_Check(names.ptr())) throw nb::type_error("output_names must be a list of names or None, not a str");
    const nb::object list = nb::steal(PySequence_Fast(names.ptr(), "output_names must be a list of names or None"));
    if (!list.is_valid()) throw nb::python_error();
    if (PySequence_Fast_GET_SIZE(list.ptr()) == 0) {
      for (const std::string& name : output_names_) out.push_back(name.c_str());
      return;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list.ptr()); ++i) {
      PyObject* item = PySequence_Fast_GET_ITEM(list.ptr(), i);
      const char* name = PyUnicode_Check(item) ? PyUnicode_AsUTF8(item) : nullptr;
      if (!name && PyErr_Occurred()) throw nb::python_error();
      if (!name) throw nb::type_error("output_names must be a list of names or None");
      const std::string* known = nullptr;
      for (const std::string& output : output_names_)
        if (output == name) known = &output;
      if (!known) {
        std::string all;
        for (const std::string& output : output_names_) all += (all.empty() ? "" : ", ") + output;
        throw Failure{TENON_INVALID_ARGUMENT, std::string("Invalid output name: ") + name, "the model's outputs are: " + all};
      }
      out.push_back(known->c_str());
    }
  }

  struct Release {
    void operator()(tenon_session* session) const { tenon_session_release(session); }
  };
  std::unique_ptr<tenon_session, Release> session_;
  std::vector<Input> inputs_;
  std::vector<std::string> output_names_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

// Calls the maker of exceptions that tenonrt._errors has set, and raises what it makes.
nb::object* error_maker = nullptr;

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Failure& f) {
    const nb::object text = nb::steal(PyUnicode_DecodeUTF8(f.text.data(), static_cast<Py_ssize_t>(f.text.size()), "replace"));
    if (!text.is_valid()) return;
    if (!error_maker) return PyErr_SetObject(PyExc_RuntimeError, text.ptr());
    const nb::object hint = f.hint.empty() ? nb::none() : nb::object(nb::str(f.hint.c_str()));
    const nb::object made = (*error_maker)(tenon_code_name(f.code), text, hint);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
  }
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);
  nb::register_exception_translator(&translate);
  m.attr("__version__") = tenon_version();
  m.def("set_error_maker", [](nb::object maker) {
    delete error_maker;
    error_maker = new nb::object(std::move(maker));
  });

  nb::class_<Configuration>(m, "Configuration")
      .def_static("find",
                  [](std::optional<std::string> path, std::optional<std::string> model) {
                    const char *file = optional_text(path), *beside = optional_text(model);
                    return new Configuration(out<tenon_configuration>(&tenon_configuration_find, file, beside));
                  },
                  nb::arg("path") = nb::none(), nb::arg("model") = nb::none())
      .def_static("parse", [](const std::string& json) {
        return new Configuration(out<tenon_configuration>(&tenon_configuration_parse, json.c_str(), nullptr, nullptr));
      })
      .def("set", [](Configuration& c, const std::string& pointer, const std::string& value) {
        check(tenon_configuration_set(c.raw.get(), pointer.c_str(), value.c_str()));
      })
      .def("add_provider",
           [](Configuration& c, const std::string& name, const std::string& device, const std::string& options, bool required) {
             check(tenon_configuration_add_provider(c.raw.get(), name.c_str(), device.c_str(), options.c_str(), required));
           })
      .def("clear_providers", [](Configuration& c) { check(tenon_configuration_clear_providers(c.raw.get())); })
      .def("provider_count", [](Configuration& c) { return tenon_configuration_provider_count(c.raw.get()); })
      .def("text", [](Configuration& c) { return text(&tenon_configuration_text, c.raw.get()); })
      .def("origins", [](Configuration& c) { return text(&tenon_configuration_origins, c.raw.get()); });

  nb::class_<CancelToken>(m, "CancelToken")
      .def(nb::init<>())
      .def("cancel", [](CancelToken& t) { tenon_cancel_token_cancel(t.raw.get()); })
      .def("renew", &CancelToken::renew)
      .def("cancelled", [](CancelToken& t) { return tenon_cancel_token_cancelled(t.raw.get()) != 0; });

  nb::class_<Profile>(m, "Profile")
      .def(nb::init<>())
      .def("trace", [](Profile& p) { return text(&tenon_profile_trace, p.raw.get()); })
      .def("event_count", [](Profile& p) { return tenon_profile_event_count(p.raw.get()); });

  nb::class_<Session>(m, "Session")
      .def(nb::init<std::optional<std::string>, nb::object, Configuration&, CancelToken*, nb::object>(), nb::arg("path").none(),
           nb::arg("data").none(), nb::arg("configuration"), nb::arg("cancel").none() = nb::none(), nb::arg("progress").none() = nb::none())
      .def("inputs", [](const Session& s) { return s.describe(true); })
      .def("outputs", [](const Session& s) { return s.describe(false); })
      .def("run", &Session::run, nb::arg("names").none(), nb::arg("feeds"), nb::arg("cancel").none() = nb::none(),
           nb::arg("timeout_ns") = 0, nb::arg("profile").none() = nb::none(), nb::arg("state").none() = nb::none())
      .def("run_bound", &Session::run_bound, nb::arg("binding"), nb::arg("cancel").none() = nb::none(), nb::arg("timeout_ns") = 0,
           nb::arg("profile").none() = nb::none(), nb::arg("state").none() = nb::none())
      .def("state", &Session::state, nb::keep_alive<0, 1>())
      .def("new_state", &Session::new_state)
      .def("providers", &Session::providers)
      .def("model_text", &Session::model_text)
      .def("explain", &Session::explain, nb::arg("format"))
      .def("placement", &Session::placement)
      .def("graph_text", &Session::graph_text)
      .def("plan_text", &Session::plan_text);

  add_values(m);
  add_states(m);
  m.def("provider_list", [] { return text(&tenon_provider_list, static_cast<const tenon_configuration*>(nullptr)); });
  m.def("provider_devices", [](const std::string& name) {
    return text(&tenon_provider_devices, name.c_str(), static_cast<const tenon_configuration*>(nullptr));
  });
  m.def("bundle_compile", &compile_bundle, nb::arg("model"), nb::arg("bundle"), nb::arg("flags"), nb::arg("configuration"), nb::arg("cancel").none(),
        nb::arg("progress").none());
  m.def("bundle_text", [](const std::string& path) { return text(&tenon_bundle_text, path.c_str()); });
  m.def("bundle_allow", [](const std::string& path) { check(tenon_bundle_allow(path.c_str())); });
  m.def("provider_path_add", [](const std::string& path) { check(tenon_provider_path_add(path.c_str())); });
  m.def("log_configure", [](const std::string& spec) { check(tenon_log_configure(spec.c_str())); });
  m.def("log_set_level", [](std::int32_t level) { tenon_log_set_level(nullptr, level); });
  m.def("schema", [] { return text(&tenon_configuration_schema); });
}
