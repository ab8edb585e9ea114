/* A process that ends while threads are parked that hold memory of an opened library, as the workers of a session do: the leak
 * checker must neither die nor take what they own for lost (cmake/asan_options.c). */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 8 };

static void (*touch)(void);
static pthread_barrier_t touched;

static void* park(void* unused) {
  touch();
  pthread_barrier_wait(&touched);
  for (;;) pause();
  return unused;
}

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (library) *(void**)&touch = dlsym(library, "touch");
  if (!touch) {
    fprintf(stderr, "exit_test: the library of sanitizer_thread_local is expected as the one argument\n");
    return 2;
  }
  pthread_barrier_init(&touched, NULL, THREADS + 1);
  for (int i = 0; i < THREADS; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, park, NULL) != 0 || pthread_detach(thread) != 0) return 3;
  }
  pthread_barrier_wait(&touched);
  return 0;
}
