/* tenon provider ABI, extension "tenon.resize" version 1: one plan for a box of sizes.
 *
 * What: for sizes that grow from run to run (the past of a decoder) core asks program_plan for a plan at the largest sizes of
 *   a box, lays out memory for it once, and then has the same plan set to the sizes of each run.
 * Owns: nothing new; the plan is the provider's as ever, and belongs to one run context.
 * Threads: plan_resize and execute are never called at the same time for one plan.
 *
 * A plan for a box is recognised by tenon_plan_args::ranges, which is not empty. dims equals dims_max then: the largest. The
 * arrays behind dims and known stay where they are as long as the plan; their contents are those of the latest call.
 *
 * A resized plan has the temps, operands, stages and in-place pairs of the first one; the number of its steps too. What a step
 * does, and whether it is SPMD, may change: no step may become SPMD in a plan that had none. */
#ifndef TENON_RESIZE_H
#define TENON_RESIZE_H

#include "provider.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenon_resize_args {
  uint32_t struct_size;
  uint32_t reserved;
  tenon_span values;       /* tenon_plan_value, by the part's graph value index; no size above that of program_plan */
  const uint32_t* changed; /* indices of those whose dims or known elements are not what the last call said */
  uint64_t changed_count;
  tenon_task* load;
} tenon_resize_args;

typedef struct tenon_resize_extension {
  uint32_t struct_size;
  uint32_t reserved;
  /* UNSUPPORTED_SHAPE: these sizes need other steps. After any failure the plan is not executed again. */
  tenon_status* (*plan_resize)(tenon_program* program, tenon_plan* plan, const tenon_resize_args* args);
} tenon_resize_extension;

#ifdef __cplusplus
}
#endif
#endif
