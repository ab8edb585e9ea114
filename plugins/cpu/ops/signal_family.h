// The files that signal_rows() gathers.
// Read-only tables; any thread.
#pragma once

#include <span>

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> window_rows();  // signal_window.cpp: HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix
std::span<const OpRow> loss_rows();    // signal_loss.cpp: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss

}  // namespace tenon::cpu
