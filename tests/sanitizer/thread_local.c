/* A library with memory of its own for each thread, of eight bytes: AddressSanitizer's malloc puts the first such block of a
 * thread 16 bytes into a page. */
#include <stdlib.h>

static __thread char* owned;

__attribute__((visibility("default"))) void touch(void);
void touch(void) {
  if (!owned) owned = malloc(100);
}
