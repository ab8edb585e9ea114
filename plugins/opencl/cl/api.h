// Api: the OpenCL functions that the provider calls, as a table filled at run time.
//
// There is no link dependency: load_api opens the loader (or one driver) with dlopen. Tests hand in a table of their own, such as
// that of a device that fails. A table is immutable once made and lives as long as the process; the functions may be called
// from any thread, except clSetKernelArg on one kernel.
#pragma once

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <memory>
#include <string>

namespace tenon::opencl {

#define TENON_OPENCL_FUNCTIONS(X)                                                                                                     \
  X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) X(clReleaseContext)                \
  X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) X(clReleaseMemObject) X(clCreateProgramWithSource)              \
  X(clCreateProgramWithBinary) X(clBuildProgram) X(clGetProgramInfo) X(clGetProgramBuildInfo) X(clReleaseProgram) X(clCreateKernel)  \
  X(clReleaseKernel) X(clSetKernelArg) X(clEnqueueNDRangeKernel) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer)                      \
  X(clEnqueueCopyBuffer) X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject) X(clFlush) X(clFinish) X(clWaitForEvents)                  \
  X(clReleaseEvent) X(clGetEventInfo) X(clGetEventProfilingInfo) X(clEnqueueMarkerWithWaitList) X(clEnqueueBarrierWithWaitList)

struct Api {
#define TENON_OPENCL_MEMBER(f) decltype(&::f) f = nullptr;
  TENON_OPENCL_FUNCTIONS(TENON_OPENCL_MEMBER)
#undef TENON_OPENCL_MEMBER
  std::string library;  // the file that was opened, for messages
};

// library: "" tries the usual names of the ICD loader; else this file alone. Throws Failure: MISSING_DEPENDENCY, with what was tried,
// what the system said and how to get it.
std::shared_ptr<const Api> load_api(const std::string& library);

// "CL_OUT_OF_RESOURCES (-5)".
std::string error_name(cl_int code);

// Throws Failure unless code is CL_SUCCESS; the text begins with what. Memory codes become RESOURCE_EXHAUSTED, a device that is gone
// DEVICE_LOST, all others INTERNAL.
void check(cl_int code, const std::string& what);
bool is_lost(cl_int code);

}  // namespace tenon::opencl
