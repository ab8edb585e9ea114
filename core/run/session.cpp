#include "core/run/session_impl.h"

#include "core/graph/text.h"

namespace tenon {

Session::Session(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

const std::vector<Port>& Session::inputs() const { return impl_->shown_inputs; }
const std::vector<Port>& Session::outputs() const { return impl_->shown_outputs; }
const ModelInfo& Session::model() const { return impl_->info; }
const std::vector<std::string>& Session::providers() const { return impl_->provider_ids; }

State* Session::state() const { return impl_->state.get(); }
Result<std::shared_ptr<State>> Session::make_state() const {
  if (!impl_->form) return error(TENON_FAILED_PRECONDITION, "the session keeps no state; /session/state names the inputs that it should keep");
  return std::make_shared<State>(impl_->form);
}

std::vector<std::string> Session::Impl::troubles() const {
  std::vector<std::string> out;
  if (Watch::outstanding() == 0) return out;
  for (const SessionDevice& d : environment.devices)
    if (!d.device->trouble().ok()) out.push_back(fmt::format("provider {}: device \"{}\" is set aside: a call on it does not return", d.provider(), d.device->info().uid));
  return out;
}

PlacementReport Session::Impl::make_report() const {
  PlacementReport made;
  made.notes = notes;
  made.unsupported = environment.unsupported.clone();
  made.weight_bytes = load.packed_bytes();
  made.costs_folder = options.config.placement.costs;
  for (const SessionDevice& d : environment.devices) {
    const DeviceInfo& info = d.device->info();
    made.devices.push_back({d.provider(), d.device->provider().version(), info.uid, info.name, info.domains[0].uid, d.fallback, info.launch_ns, 0,
                            d.device->provider().isolated()});
  }
  block->report(made);
  return made;
}

const PlacementReport& Session::placement() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->placement();
  std::vector<std::string> troubles = impl_->troubles();
  std::lock_guard lock(impl_->report_mutex);
  auto report = impl_->reports.find(troubles);  // one that was given out stays
  if (report == impl_->reports.end()) {
    auto made = std::make_unique<PlacementReport>(impl_->make_report());
    made->notes.insert(made->notes.end(), troubles.begin(), troubles.end());
    bool left = false;
    made->memory = Impl::memory_report(impl_, left);
    if (left) troubles.push_back(made->memory.note);  // whoever asks next may find that the call has returned
    report = impl_->reports.try_emplace(std::move(troubles), std::move(made)).first;
  }
  report->second->arena_bytes = impl_->block->arena_bytes();
  return *report->second;
}

Result<double> Session::cost_if(std::size_t node, std::uint32_t device) const {
  if (const Session* instead = impl_->replacements->instead()) return instead->cost_if(node, device);
  const PlacementReport& report = placement();
  if (node >= report.nodes.size()) return error(TENON_OUT_OF_RANGE, "node {} of {}", node, report.nodes.size());
  if (device >= report.devices.size()) return error(TENON_OUT_OF_RANGE, "device {} of {}", device, report.devices.size());
  if (!report.nodes[node].graph.empty()) return error(TENON_UNIMPLEMENTED, "node {} is in the body \"{}\"; costs compare for the main graph only", node, report.nodes[node].graph);
  return impl_->block->cost_if(static_cast<NodeId>(node), device);
}

Status Session::learn(const Profile& profile, bool keep, std::vector<LearnedLine>& out) const {
  if (const Session* instead = impl_->replacements->instead()) return instead->learn(profile, keep, out);
  const std::vector<SessionDevice>& devices = impl_->environment.devices;
  LearnedCosts costs(devices.size());
  impl_->block->learn(profile, costs);
  for (std::uint32_t d = 0; d < devices.size(); ++d)
    for (const auto& [key, cost] : costs.table(d).entries())
      out.push_back({devices[d].provider(), devices[d].device->info().uid, cost.operators, cost.ns, cost.samples});
  return keep ? costs.store(impl_->options.config.placement.costs, devices, impl_->environment.max_workers) : Status();
}

Result<std::uint64_t> Session::forget_costs() const {
  return LearnedCosts::forget(impl_->options.config.placement.costs, impl_->environment.devices, impl_->environment.max_workers);
}

std::string Session::graph_text() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->graph_text();
  return tenon::graph_text(impl_->model->graph, impl_->model->symbols);
}
std::string Session::plan_text() const {
  if (const Session* instead = impl_->replacements->instead()) return instead->plan_text();
  return impl_->block->plan_text();
}
std::uint64_t Session::plans_made() const { return impl_->block->plans_made(); }

}  // namespace tenon
