/* tenon provider ABI, extension "tenon.trace" version 1, offered by the host: what a device did in a profiled run, and when.
 *
 * What: the host times steps from outside. A provider that knows more (kernels inside a step, time in a queue, transfers)
 *   asks get_extension of the host for this table and reports it; the profile shows it inside the step it names.
 * Owns: nothing; events are copied.
 * Threads: any, from the beginning of an execute or copy of the run until its stream has been waited for.
 *
 * A profiled run executes step by step and waits after each, so what was captured as a graph runs uncaptured. */
#ifndef TENON_TRACE_H
#define TENON_TRACE_H

#include "host.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenon_trace_event {
  uint32_t struct_size;
  uint32_t reserved;
  tenon_str name;    /* of what was done, such as a kernel's */
  tenon_str track;   /* where: a queue, an engine; "": the device */
  uint64_t begin_ns; /* on the host's clock, see now */
  uint64_t end_ns;   /* not before begin_ns, else the event is dropped */
} tenon_trace_event;

typedef struct tenon_trace_extension {
  uint32_t struct_size;
  uint32_t reserved;
  /* 1 if this run is profiled: ask before measuring anything. */
  int32_t (*enabled)(tenon_task* run);
  /* The host's clock in nanoseconds, monotonic: to bring a device's clock to it. */
  uint64_t (*now)(void);
  /* Reports one event of the step that is being executed; of no consequence in a run that is not profiled. */
  void (*event)(tenon_task* run, const tenon_trace_event* event);
} tenon_trace_extension;

#ifdef __cplusplus
}
#endif
#endif
