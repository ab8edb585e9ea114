/* tenon provider ABI: hash of types.h, host.h and provider.h without comments and white space, written by scripts/abi.
 * It tells which headers a binary was built from. Nothing is refused for it: minors count. */
#ifndef TENON_ABI_HASH_H
#define TENON_ABI_HASH_H

#define TENON_ABI_HEADER_HASH 0x165bef17105e6343ull

#endif
