// Tuning of the linear kernel as data.
#ifndef LLMCORE_CUDA_KERNELS_LINEAR_TUNING_H_
#define LLMCORE_CUDA_KERNELS_LINEAR_TUNING_H_

#include <cstdint>

#include "cuda/layout.h"

namespace llmcore::cuda {

// Warps of a block; each sums every 8th group of columns. Part of what the result is to the bit: a
// change of it changes bits. With 1056 bytes an int4 tile and one tile ahead, a block has about 16
// KB in flight, and two blocks of an SM have the 32 KB that its share of the latency wants.
constexpr int kLinearWarps = 8;

// Blocks of an SM that registers leave room for: two, with up to 128 registers a thread, unless
// sums of many tiles stand beside codes that were loaded ahead, which would spill. One block then
// has as many bytes in flight.
constexpr int LinearBlocksAnSm(Storage storage, int token_tiles, bool gated) {
  const int tiles = token_tiles * (gated ? 2 : 1);
  switch (storage) {
    case Storage::kInt8:
      return tiles < 4 ? 2 : 1;
    case Storage::kF32:  // three pieces a value
    case Storage::kInt4:
    case Storage::kInt4Zeros:
      return tiles < 8 ? 2 : 1;
    default:
      return 2;
  }
}

// Tokens of a block in units of 8, the n of one mma, by the tokens of the call. Not part of the
// result. Chosen by arithmetic, not yet by measurement: the smallest that holds all tokens, and 32
// beyond, where shared memory for the eight partial sums reaches 32 KB in a gated product.
struct TokenTileChoice {
  int32_t up_to_tokens;
  int token_tiles;
};
constexpr TokenTileChoice kTokenTileChoices[] = {{8, 1}, {16, 2}, {INT32_MAX, 4}};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_LINEAR_TUNING_H_
