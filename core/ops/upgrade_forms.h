// Upgrades that spell an old operator out in others. See upgrade.h.
#pragma once

#include "core/ops/upgrade.h"

namespace tenon {

// BatchNormalization with spatial = 0 (before opset 9): a mean and a variance for every element of a sample.
void norm_of_every_element(Upgrade& u, const Node& node);
// GroupNormalization before opset 21: a scale and a bias for every group instead of every channel.
Status scale_of_groups(Upgrade& u, Node& node);
// Scan of opset 8: a batch in front of everything. A Scan over the batch whose body is the Scan over the sequence.
Status batched_scan(Upgrade& u, Node node);
// LabelEncoder of ai.onnx.ml 1: the position in a list of classes, or the class at a position.
void positions_of_classes(Upgrade& u, Node& node);

}  // namespace tenon
