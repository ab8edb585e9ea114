/* tenon provider ABI: hash of types.h, host.h and provider.h, written by scripts/abi_hash.
 * Until the 1.0 candidate, host and provider must have been built from headers with the same hash. */
#ifndef TENON_ABI_HASH_H
#define TENON_ABI_HASH_H

#define TENON_ABI_HEADER_HASH 0xa9bdfbd1180bb3b4ull

#endif
