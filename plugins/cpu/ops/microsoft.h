// Operators of com.microsoft that belong to no other family, one file a kind.
//
// Read-only tables; any thread.
#pragma once

#include "plugins/cpu/op.h"

namespace tenon::cpu {

std::span<const OpRow> token_rows();        // microsoft_tokens.cpp: NGramRepeatBlock, BifurcationDetector, DynamicTimeWarping
std::span<const OpRow> hash_rows();         // microsoft_hash.cpp: MurmurHash3
std::span<const OpRow> tokenizer_rows();    // strings_tokenizer.cpp: Tokenizer

}  // namespace tenon::cpu
