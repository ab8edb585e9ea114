/* tenon provider ABI: hash of types.h, host.h and provider.h, written by scripts/abi_hash.
 * Until the 1.0 candidate, host and provider must have been built from headers with the same hash. */
#ifndef TENON_ABI_HASH_H
#define TENON_ABI_HASH_H

#define TENON_ABI_HEADER_HASH 0x79a888ea73b96ee0ull

#endif
