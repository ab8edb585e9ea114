#include "plugins/opencl/tuner.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "plugins/opencl/device/speeds.h"

namespace tenon::opencl {
namespace {

double now_ns() { return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()); }

// Bytes from the buffer's start to the tensor's last element.
std::uint64_t extent(const Tensor& t) {
  std::int64_t last = t.offset;
  for (std::size_t d = 0; d < t.dims.size(); ++d)
    if (t.dims[d] > 0 && t.strides[d] > 0) last += (t.dims[d] - 1) * t.strides[d];
  return static_cast<std::uint64_t>((last + 1) * storage_bytes(t.dtype));
}

// One piece's launches on memory of their own.
class Measurement {
 public:
  Measurement(const Program& program, const Trial& trial, const Trial::Piece& piece) : device_(*program.device) {
    std::map<std::uint32_t, std::uint64_t> bytes;
    std::vector<const KernelText*> texts;
    for (const Launch& l : piece.launches) {
      texts.push_back(&l.kernel);
      for (const Arg& a : l.args)
        if (a.kind == Arg::Kind::read || a.kind == Arg::Kind::write) bytes[a.tensor.buffer] = std::max(bytes[a.tensor.buffer], extent(a.tensor));
    }
    for (const auto& [buffer, size] : bytes)
      if (trial.buffers[buffer].constant == no_value) memory_[buffer] = device_.allocate(size);
    const std::vector<BuiltKernel> built = device_.kernels->get(texts);
    for (std::size_t l = 0; l < piece.launches.size(); ++l) {
      const Launch& launch = piece.launches[l];
      BoundKernel& kernel = kernels_.emplace_back(device_, built[l], label_);
      cl_uint number = 0;
      for (const Arg& a : launch.args) {
        if (a.kind == Arg::Kind::scalar) {
          kernel.set(number++, {a.bytes.data(), a.size});
          continue;
        }
        const std::uint32_t constant = a.kind == Arg::Kind::weight ? a.packed.constant : trial.buffers[a.tensor.buffer].constant;
        const Constant* c = constant == no_value ? nullptr : program.constants[constant].get();
        const std::uint64_t at = a.kind == Arg::Kind::weight ? 0 : static_cast<std::uint64_t>(a.tensor.offset * storage_bytes(a.tensor.dtype));
        kernel.set(number, c ? c->mem : memory_.at(a.tensor.buffer).get(), (c ? c->offset : 0) + at);
        number += BoundKernel::parameters_of_buffer;
      }
    }
    launches_ = &piece.launches;
  }

  // The shortest of a few runs; the first is not counted, since it may compile.
  double best_ns(cl_command_queue queue) const {
    double best = 0;
    for (int run = 0; run < 4; ++run) {
      const double start = now_ns();
      for (std::size_t l = 0; l < kernels_.size(); ++l)
        kernels_[l].enqueue(queue, (*launches_)[l].global, (*launches_)[l].local);
      check(device_.api->clFinish(queue), "measuring");
      const double ns = now_ns() - start;
      if (run > 0 && (best == 0 || ns < best)) best = ns;
    }
    return best;
  }

 private:
  const Device& device_;
  std::map<std::uint32_t, MemHandle> memory_;
  const std::string label_ = "a kernel to measure";
  std::vector<BoundKernel> kernels_;
  const std::vector<Launch>* launches_ = nullptr;
};

// How many units of the plan do the work of this key.
double repeats(const Trial& trial, const std::string& key) {
  return static_cast<double>(std::count_if(trial.pieces.begin(), trial.pieces.end(), [&](const Trial::Piece& p) { return p.key == key; }));
}

}  // namespace

int tune(const Plan& plan, double budget_ns) noexcept try {
  const Program& program = *plan.program;
  const Device& device = *program.device;
  const double end = now_ns() + budget_ns;
  const QueueHandle queue = device.make_queue();
  const tenon_plan_args args{sizeof(tenon_plan_args), 1, {plan.input->values.data(), plan.input->values.size(), sizeof(tenon_plan_value), 0}, {}, nullptr};
  std::map<std::string, int> counts;
  std::map<std::string, double> work;
  int candidates = 1;
  std::vector<Trial> trials;
  for (int candidate = 0; candidate < candidates; ++candidate) {
    trials.push_back(Trial::make(program, args, candidate));
    for (const Trial::Piece& p : trials.back().pieces) {
      candidates = std::max(candidates, p.count);
      counts[p.key] = p.count;
      double flops = 0;
      for (const Launch& l : p.launches) flops += l.flops;
      work[p.key] += flops;
    }
  }
  // The heaviest first, each to its end: half a comparison says nothing.
  std::vector<std::string> order;
  for (const auto& [key, flops] : work)
    if (device.tuning->find(key) < 0 && counts[key] > 1) order.push_back(key);
  std::stable_sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) { return work[a] > work[b]; });
  int measured = 0;
  for (const std::string& key : order) {
    double fastest = 0;
    int choice = -1;
    for (int candidate = 0; candidate < counts[key]; ++candidate) {
      if (now_ns() > end) {
        choice = -1;
        break;
      }
      const Trial& trial = trials[static_cast<std::size_t>(candidate)];
      const auto piece = std::find_if(trial.pieces.begin(), trial.pieces.end(), [&](const Trial::Piece& p) { return p.key == key; });
      const double ns = Measurement(program, trial, *piece).best_ns(queue.get());
      if (choice < 0 || ns < fastest) fastest = ns, choice = candidate;
    }
    if (choice < 0) break;
    device.tuning->put(key, choice);
    if (measured++ == 0) note_products(*device.tuning, work[key] / counts[key] / repeats(trials[0], key) / fastest);
  }
  if (measured > 0) device.tuning->save();
  return measured;
} catch (...) {
  return 0;
}

}  // namespace tenon::opencl
