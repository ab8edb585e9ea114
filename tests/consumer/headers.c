/* What a provider includes. */
#include <tenon/provider.h>

#if TENON_ABI_MAJOR > 1000
#error "the version is missing"
#endif
