/* Loads libtenon by its path, uses it and closes it, in one of several ways; exits with 42. Links nothing of it. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tenon/tenon.h>

#include "models.h"

static const char* path;

/* One load and one run on two threads; the session is left alive unless `release`. 0: something failed. */
static int use(void* library, int release) {
  tenon_status* (*create)(tenon_configuration**);
  tenon_status* (*set)(tenon_configuration*, const char*, const char*);
  tenon_status* (*load)(const void*, size_t, const tenon_load_options*, tenon_session**);
  tenon_status* (*borrow)(int32_t, const int64_t*, size_t, void*, size_t, void (*)(void*), void*, tenon_datum**);
  tenon_status* (*run)(const tenon_session*, const char* const*, const tenon_datum* const*, size_t, const char* const*, size_t,
                       const tenon_run_options*, tenon_datum**);
  void (*drop_session)(tenon_session*);
  void (*drop_datum)(tenon_datum*);
  void (*drop_configuration)(tenon_configuration*);
#define FIND(variable, name) *(void**)(&variable) = dlsym(library, name)
  FIND(create, "tenon_configuration_create");
  FIND(set, "tenon_configuration_set");
  FIND(load, "tenon_session_load_bytes");
  FIND(borrow, "tenon_datum_borrow_tensor");
  FIND(run, "tenon_session_run");
  FIND(drop_session, "tenon_session_release");
  FIND(drop_datum, "tenon_datum_release");
  FIND(drop_configuration, "tenon_configuration_release");
  static float x[30000], y[30000];
  const int64_t dims[2] = {10000, 3};
  const char* const names[2] = {"x", "y"};
  tenon_configuration* c = NULL;
  tenon_load_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  static tenon_session* s;  // one that is not released is still known: no leak
  tenon_datum *in[2] = {NULL, NULL}, *out[2] = {NULL, NULL};
  if (create(&c) || set(c, "/session/threads", "2")) return 0;
  options.configuration = c;
  if (load(sums_model, sizeof sums_model, &options, &s)) return 0;
  if (borrow(TENON_DTYPE_FLOAT, dims, 2, x, sizeof x, NULL, NULL, &in[0]) || borrow(TENON_DTYPE_FLOAT, dims, 2, y, sizeof y, NULL, NULL, &in[1])) return 0;
  if (run(s, names, (const tenon_datum* const*)in, 2, NULL, 0, NULL, out)) return 0;
  drop_configuration(c);
  drop_datum(in[0]), drop_datum(in[1]), drop_datum(out[0]), drop_datum(out[1]);
  if (release) drop_session(s);
  return 1;
}

static void* library_open(void) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fprintf(stderr, "%s\n", dlerror());
  return library;
}

static void* on_a_thread(void* unused) {
  (void)unused;
  void* library = library_open();
  if (!library || !use(library, 1) || dlclose(library)) _exit(1);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  path = argv[1];
  const char* way = argv[2];
  if (!strcmp(way, "on_another_thread")) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, &on_a_thread, NULL) || pthread_join(thread, NULL)) return 1;
  } else {
    for (int i = 0; i < (strcmp(way, "again") ? 1 : 3); ++i) {
      void* library = library_open();
      if (!library) return 1;
      if (strcmp(way, "unused") && !use(library, strcmp(way, "not_released") != 0)) return 1;
      if (dlclose(library)) return 1;
    }
  }
  usleep(50000); /* threads that were left behind have their say */
  return 42;
}
