#include "core/run/state.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/run/execution.h"

namespace tenon {
namespace {

// Memory is given in so many rows, or a half of what there is.
constexpr std::int64_t least_rows = 256;

std::int64_t rounded(std::int64_t rows) {
  const std::int64_t grain = std::max(least_rows, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(rows / 2))));
  return (rows + grain - 1) / grain * grain;
}

std::int64_t product(const Dims& dims, std::size_t from, std::size_t to) {
  std::int64_t n = 1;
  for (std::size_t d = from; d < to; ++d) n *= dims[d];
  return n;
}

// The first rows of a cache, into one that has room for as many.
void copy_rows(const Datum& from, const Datum& to, std::size_t axis, std::int64_t rows) {
  const std::int64_t outer = product(from.dims, 0, axis), inner = product(from.dims, axis + 1, from.dims.size());
  const auto row = static_cast<std::size_t>(inner) * static_cast<std::size_t>(dtype_bits(from.dtype)) / 8;
  for (std::int64_t o = 0; o < outer; ++o)
    std::memcpy(to.data + static_cast<std::size_t>(o * to.dims[axis]) * row, from.data + static_cast<std::size_t>(o * from.dims[axis]) * row,
                static_cast<std::size_t>(rows) * row);
}

}  // namespace

State::State(std::shared_ptr<const StateForm> form) : form_(std::move(form)), kept_(form_->pairs.size()), larger_(form_->pairs.size()) {}

Status State::truncate(std::int64_t rows) {
  if (busy_.load(std::memory_order_acquire)) return error(TENON_FAILED_PRECONDITION, "a run uses the state");
  if (rows < 0 || rows > rows_) return error(TENON_OUT_OF_RANGE, "the state holds {} rows, it cannot go back to {}", rows_, rows);
  const bool others = std::any_of(form_->pairs.begin(), form_->pairs.end(), [](const auto& p) { return p.axis < 0; });
  if (others && rows != rows_ && rows != 0)
    return error(TENON_FAILED_PRECONDITION, "the state keeps more than rows of caches: it can only be reset, not go back to {} of {} rows", rows, rows_);
  rows_ = rows;
  if (rows == 0)
    for (std::size_t p = 0; p < kept_.size(); ++p)
      if (form_->pairs[p].axis < 0) kept_[p] = {};
  return {};
}

Result<Datum> State::value(const std::string& name) const {
  for (std::size_t p = 0; p < kept_.size(); ++p) {
    const StateForm::Pair& pair = form_->pairs[p];
    if (pair.name != name) continue;
    if (!kept_[p].keep) return error(TENON_NOT_FOUND, "the state has no \"{}\" yet: no run has made it", name);
    if (pair.axis < 0) return copy_datum(kept_[p]);
    Dims dims = kept_[p].dims;
    dims[static_cast<std::size_t>(pair.axis)] = rows_;
    TENON_ASSIGN(Datum out, Datum::tensor(kept_[p].dtype, std::move(dims)));
    copy_rows(kept_[p], out, static_cast<std::size_t>(pair.axis), rows_);
    return out;
  }
  return error(TENON_NOT_FOUND, "the state keeps no input \"{}\"", name);
}

Result<std::shared_ptr<State>> State::copy() const {
  if (busy_.load(std::memory_order_acquire)) return error(TENON_FAILED_PRECONDITION, "a run uses the state");
  auto other = std::make_shared<State>(form_);
  for (std::size_t p = 0; p < kept_.size(); ++p) {
    if (!kept_[p].keep) continue;
    if (form_->pairs[p].axis < 0) {
      TENON_SET(other->kept_[p], copy_datum(kept_[p]));
      continue;
    }
    TENON_SET(other->kept_[p], Datum::tensor(kept_[p].dtype, kept_[p].dims));
    copy_rows(kept_[p], other->kept_[p], static_cast<std::size_t>(form_->pairs[p].axis), rows_);
  }
  other->rows_ = rows_, other->capacity_ = capacity_;
  return other;
}

// What the feeds say of a symbol; -1: nothing.
std::int64_t State::size_of(const Dim& dim, std::span<const Datum* const> feeds) const {
  if (dim.fixed()) return dim.value;
  for (std::size_t i = 0; i < form_->inputs.size(); ++i) {
    const Type& type = form_->inputs[i];
    if (form_->kept_input[i] || !feeds[i] || !type.is_tensor() || !type.dims || dim.symbol == 0) continue;
    for (std::size_t d = 0; d < type.dims->size() && d < feeds[i]->dims.size(); ++d)
      if ((*type.dims)[d] == dim) return feeds[i]->dims[d];
  }
  return -1;
}

// Caches of this run's sizes with room for what it adds.
Status State::room(std::span<const Datum* const> feeds) {
  added_ = size_of(form_->fresh, feeds);
  if (added_ < 0) return invalid("how many rows the run adds to the state is not known: an input that tells it is not fed");
  const std::int64_t needed = rows_ + added_;
  std::int64_t capacity = capacity_;
  if (needed > capacity) capacity = needed <= form_->capacity ? form_->capacity : rounded(needed);
  const bool fresh = capacity != capacity_;
  Checked bytes = 0;
  std::int64_t batch = 0;
  for (std::size_t p = 0; p < kept_.size(); ++p) {
    const StateForm::Pair& pair = form_->pairs[p];
    if (pair.axis < 0) continue;
    if (feeds[pair.input])
      return invalid("input \"{}\" is kept by the session's state and cannot be fed; a reset of the state starts anew", pair.name);
    dims_.clear();
    for (std::size_t d = 0; d < pair.type.dims->size(); ++d)
      dims_.push_back(static_cast<std::int32_t>(d) == pair.axis ? capacity : size_of((*pair.type.dims)[d], feeds));
    for (std::size_t d = 0; d < dims_.size(); ++d)
      if (dims_[d] < 0) return invalid("input \"{}\", kept by the session's state: no input that is fed tells the size of its dim {}", pair.name, d);
    batch = dims_[0];
    bytes = bytes + dtype_bytes(pair.type.dtype, element_count(dims_));
    if (!bytes.valid() || static_cast<std::uint64_t>(bytes.value()) > form_->memory_limit)
      return error(TENON_RESOURCE_EXHAUSTED, "the session's state: caches with room for {} rows are over limits.memory = {} bytes", capacity,
                   form_->memory_limit);
    const Datum& had = kept_[p];
    bool same = had.keep != nullptr;
    for (std::size_t d = 0; same && d < dims_.size(); ++d) same = static_cast<std::int32_t>(d) == pair.axis || dims_[d] == had.dims[d];
    if (!same && rows_ > 0) {
      Dims kept = had.dims, now = dims_;
      kept[static_cast<std::size_t>(pair.axis)] = now[static_cast<std::size_t>(pair.axis)] = rows_;
      return invalid("input \"{}\": the session's state holds {}, this run's inputs ask for {}; reset the state to start with other sizes, or use another one",
                     pair.name, dims_text(kept), dims_text(now));
    }
    if (same && !fresh) continue;
    TENON_SET(larger_[p], Datum::tensor(pair.type.dtype, dims_));
    if (rows_ > 0) copy_rows(had, larger_[p], static_cast<std::size_t>(pair.axis), rows_);
  }
  for (std::size_t p = 0; p < kept_.size(); ++p)
    if (larger_[p].keep) kept_[p] = std::exchange(larger_[p], {});
  capacity_ = capacity;
  if (!rows_datum_.keep) TENON_SET(rows_datum_, Datum::tensor(TENON_DTYPE_INT64, {1}));
  if (!places_.keep || places_.dims[0] != batch) TENON_SET(places_, Datum::tensor(TENON_DTYPE_INT64, {batch}));
  std::memcpy(rows_datum_.data, &rows_, sizeof rows_);
  for (std::int64_t b = 0; b < batch; ++b) std::memcpy(places_.data + static_cast<std::size_t>(b) * sizeof rows_, &rows_, sizeof rows_);
  return {};
}

// Before there is a value it is zeros, of no size along dims that no other input tells.
Status State::handed_on(std::size_t p, std::span<const Datum* const> feeds) {
  const StateForm::Pair& pair = form_->pairs[p];
  if (feeds[pair.input] || kept_[p].keep) return {};
  if (!pair.type.dims) return invalid("input \"{}\", kept by the session's state, has no value yet, and its rank is not known: feed it in the first run", pair.name);
  Dims dims;
  for (const Dim& d : *pair.type.dims) dims.push_back(std::max<std::int64_t>(size_of(d, feeds), 0));
  TENON_SET(kept_[p], Datum::tensor(pair.type.dtype, std::move(dims)));
  if (kept_[p].bytes) std::memset(kept_[p].data, 0, kept_[p].bytes);
  return {};
}

Status State::begin(std::span<const Datum*> feeds, std::span<Datum> outputs) {
  if (form_->appends) {
    const Status s = room(feeds);
    if (!s.ok()) {
      for (Datum& d : larger_) d = {};
      return s.clone();
    }
    feeds[form_->rows_input] = &rows_datum_;
    feeds[form_->places_input] = &places_;
  }
  for (std::size_t p = 0; p < kept_.size(); ++p) {
    const StateForm::Pair& pair = form_->pairs[p];
    if (pair.axis < 0) TENON_TRY(handed_on(p, feeds));
    if (!feeds[pair.input]) feeds[pair.input] = &kept_[p];
    if (pair.axis < 0) continue;
    Datum& out = outputs[pair.output];
    out.kind = TENON_KIND_TENSOR, out.dtype = kept_[p].dtype;
    out.data = kept_[p].data, out.bytes = kept_[p].bytes;
    out.keep = kept_[p].keep;
  }
  return {};
}

void State::finish(std::span<Datum> outputs) {
  for (std::size_t p = 0; p < kept_.size(); ++p) {
    Datum& out = outputs[form_->pairs[p].output];
    if (form_->pairs[p].axis < 0 || out.data != kept_[p].data) kept_[p] = std::move(out);
    out.data = nullptr;  // dims keep their room for the next run
    out.bytes = 0;
    out.keep.reset();
  }
  rows_ += added_;
}

}  // namespace tenon
