// An OpenCL library for tests: forwards to the machine's and fails where it is told to. It also counts what is made and released.
//
// Opened by the provider through its option "library", and by a test with dlopen for the three faulty_* functions below. Any thread.
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include <dlfcn.h>

namespace {

std::mutex mutex;
struct Fault {
  std::string function;  // "": any that can fail and is no release; "*after": every call from then on
  long countdown = -1;
  cl_int code = 0;
  bool forever = false;
} fault;
std::map<std::string, long> calls;
std::atomic<long> living[5];  // contexts, queues, buffers, programs, kernels

void* real(const char* name) {
  static void* library = ::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  return library ? ::dlsym(library, name) : nullptr;
}

// The code that this call has to fail with, or CL_SUCCESS.
cl_int told_to_fail(const char* name) {
  std::lock_guard lock(mutex);
  ++calls[name];
  if (fault.countdown < 0 || (!fault.function.empty() && fault.function != name)) return CL_SUCCESS;
  if (fault.countdown > 0) {
    --fault.countdown;
    return CL_SUCCESS;
  }
  if (!fault.forever) fault.countdown = -1;
  return fault.code;
}

template <class Fn, class... Args>
auto forward(Fn, const char* name, Args... args) {
  return reinterpret_cast<Fn>(real(name))(args...);
}

}  // namespace

// The call of function after `after` others fails with code; forever: all later ones too. "" stands for every function; code 0 ends it.
extern "C" void faulty_set(const char* function, long after, cl_int code, int forever) {
  std::lock_guard lock(mutex);
  fault = {function, code == 0 ? -1 : after, code, forever != 0};
}
extern "C" long faulty_calls(const char* function) {
  std::lock_guard lock(mutex);
  return calls[function];
}
// Objects that were made and not released.
extern "C" long faulty_living() {
  long n = 0;
  for (const auto& l : living) n += l;
  return n;
}

#define STATUS(name, parameters, ...)                                  \
  extern "C" cl_int name parameters {                                  \
    if (const cl_int code = told_to_fail(#name)) return code;          \
    return forward(&name, #name, __VA_ARGS__);                         \
  }
#define MAKE(type, kind, name, parameters, error, ...)                 \
  extern "C" type name parameters {                                    \
    if (const cl_int code = told_to_fail(#name)) {                     \
      if (error) *error = code;                                        \
      return nullptr;                                                  \
    }                                                                  \
    type made = forward(&name, #name, __VA_ARGS__);                    \
    if (made) ++living[kind];                                          \
    return made;                                                       \
  }
#define RELEASE(type, kind, name)                                      \
  extern "C" cl_int name(type object) {                                \
    --living[kind];                                                    \
    return forward(&name, #name, object);                              \
  }

STATUS(clGetPlatformIDs, (cl_uint n, cl_platform_id* p, cl_uint* c), n, p, c)
STATUS(clGetPlatformInfo, (cl_platform_id p, cl_platform_info i, size_t s, void* v, size_t* r), p, i, s, v, r)
STATUS(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id* d, cl_uint* c), p, t, n, d, c)
STATUS(clGetDeviceInfo, (cl_device_id d, cl_device_info i, size_t s, void* v, size_t* r), d, i, s, v, r)
typedef void(CL_CALLBACK* ContextNotify)(const char*, const void*, size_t, void*);
MAKE(cl_context, 0, clCreateContext, (const cl_context_properties* p, cl_uint n, const cl_device_id* d, ContextNotify f, void* u, cl_int* e), e, p, n, d, f, u, e)
RELEASE(cl_context, 0, clReleaseContext)
MAKE(cl_command_queue, 1, clCreateCommandQueue, (cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int* e), e, c, d, p, e)
RELEASE(cl_command_queue, 1, clReleaseCommandQueue)
MAKE(cl_mem, 2, clCreateBuffer, (cl_context c, cl_mem_flags f, size_t s, void* h, cl_int* e), e, c, f, s, h, e)
RELEASE(cl_mem, 2, clReleaseMemObject)
MAKE(cl_program, 3, clCreateProgramWithSource, (cl_context c, cl_uint n, const char** t, const size_t* l, cl_int* e), e, c, n, t, l, e)
MAKE(cl_program, 3, clCreateProgramWithBinary,
     (cl_context c, cl_uint n, const cl_device_id* d, const size_t* l, const unsigned char** b, cl_int* s, cl_int* e), e, c, n, d, l, b, s, e)
RELEASE(cl_program, 3, clReleaseProgram)
typedef void(CL_CALLBACK* ProgramNotify)(cl_program, void*);
STATUS(clBuildProgram, (cl_program p, cl_uint n, const cl_device_id* d, const char* o, ProgramNotify f, void* u), p, n, d, o, f, u)
STATUS(clGetProgramInfo, (cl_program p, cl_program_info i, size_t s, void* v, size_t* r), p, i, s, v, r)
STATUS(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info i, size_t s, void* v, size_t* r), p, d, i, s, v, r)
MAKE(cl_kernel, 4, clCreateKernel, (cl_program p, const char* n, cl_int* e), e, p, n, e)
RELEASE(cl_kernel, 4, clReleaseKernel)
STATUS(clSetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void* v), k, i, s, v)
STATUS(clEnqueueNDRangeKernel,
       (cl_command_queue q, cl_kernel k, cl_uint n, const size_t* o, const size_t* g, const size_t* l, cl_uint w, const cl_event* ws, cl_event* e), q, k, n, o, g, l, w, ws, e)
STATUS(clEnqueueReadBuffer, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void* p, cl_uint w, const cl_event* ws, cl_event* e), q, m, b, o, s, p, w, ws, e)
STATUS(clEnqueueWriteBuffer, (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void* p, cl_uint w, const cl_event* ws, cl_event* e), q, m, b, o, s, p, w, ws, e)
STATUS(clEnqueueCopyBuffer, (cl_command_queue q, cl_mem a, cl_mem b, size_t i, size_t o, size_t s, cl_uint w, const cl_event* ws, cl_event* e), q, a, b, i, o, s, w, ws, e)
extern "C" void* clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint w, const cl_event* ws, cl_event* e, cl_int* c) {
  if (const cl_int code = told_to_fail("clEnqueueMapBuffer")) {
    if (c) *c = code;
    return nullptr;
  }
  return forward(&clEnqueueMapBuffer, "clEnqueueMapBuffer", q, m, b, f, o, s, w, ws, e, c);
}
STATUS(clEnqueueUnmapMemObject, (cl_command_queue q, cl_mem m, void* p, cl_uint w, const cl_event* ws, cl_event* e), q, m, p, w, ws, e)
STATUS(clFlush, (cl_command_queue q), q)
// Waits even where it is told to fail: what was enqueued still uses memory that the caller is about to free.
extern "C" cl_int clFinish(cl_command_queue q) {
  const cl_int told = told_to_fail("clFinish");
  const cl_int code = forward(&clFinish, "clFinish", q);
  return told ? told : code;
}
STATUS(clWaitForEvents, (cl_uint n, const cl_event* e), n, e)
extern "C" cl_int clReleaseEvent(cl_event e) { return forward(&clReleaseEvent, "clReleaseEvent", e); }
STATUS(clGetEventInfo, (cl_event e, cl_event_info i, size_t s, void* v, size_t* r), e, i, s, v, r)
STATUS(clGetEventProfilingInfo, (cl_event e, cl_profiling_info i, size_t s, void* v, size_t* r), e, i, s, v, r)
STATUS(clEnqueueMarkerWithWaitList, (cl_command_queue q, cl_uint n, const cl_event* w, cl_event* e), q, n, w, e)
STATUS(clEnqueueBarrierWithWaitList, (cl_command_queue q, cl_uint n, const cl_event* w, cl_event* e), q, n, w, e)
