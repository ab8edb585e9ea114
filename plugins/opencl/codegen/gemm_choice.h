// GemmChoice: which tile a product gets on a device.
//
// Decided from the device's profile and the product's sizes; a constant B is packed for the panels chosen here, so that `panel_columns`
// depends on nothing that only a run tells. Pure functions; any thread.
#pragma once

#include "plugins/opencl/codegen/gemm.h"
#include "plugins/opencl/device/profile.h"

namespace tenon::opencl {

// Columns of B's panels for products with n columns (-1: not known yet).
int panel_columns(const Profile& profile, Compute compute, std::int64_t n);
// The tile for m rows over panels of that many columns, B packed or row-major. Storage types, batched, scaled and bytes are the caller's.
GemmConfig choose_gemm(const Profile& profile, Compute compute, int columns, std::int64_t m, std::int64_t k);
// Other tiles over the same panels, for a device that measures: of a number of them, the first is choose_gemm's own.
inline constexpr int kGemmVariants = 3;
GemmConfig gemm_variant(GemmConfig chosen, int variant);
// For B given as [n, k]: few rows are dot products, without packing.
GemmConfig choose_dots(const Profile& profile, Compute compute, std::int64_t m);
bool wants_dots(std::int64_t m);
// Whether a row-major B should be packed before the product rather than read where it stands.
bool wants_packing(const Profile& profile, Compute compute, int columns, const GemmProblem& problem);

}  // namespace tenon::opencl
