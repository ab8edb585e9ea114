/* Linked into every program of an AddressSanitizer build: what it assumes unless ASAN_OPTIONS says otherwise.
 *
 * Up to gcc 13 and clang 16 the run time takes a thread's block of an opened library's thread-local data that happens to start
 * 16 bytes into a page for one of a glibc older than 2.25, and reads its size from where none is. The leak checker then dies
 * of a signal as the process ends. Blocks are found without that guess: their allocations are the dynamic linker's. */
__attribute__((visibility("default"))) const char* __asan_default_options(void);
const char* __asan_default_options(void) { return "intercept_tls_get_addr=0"; }
