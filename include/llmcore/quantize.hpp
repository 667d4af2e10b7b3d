// int4 in blocks of 128, on plain buffers and on whole model directories.
#ifndef LLMCORE_QUANTIZE_HPP_
#define LLMCORE_QUANTIZE_HPP_

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"
#include "llmcore/model.hpp"

namespace llmcore {
inline namespace v1 {

struct Int4Blocks {
  uint64_t count = 0;              // values
  std::vector<uint8_t> packed{};   // (count + 1) / 2 bytes, two codes each, high half first
  std::vector<uint16_t> scales{};  // (count + 127) / 128, bf16
};

inline Result<Int4Blocks> QuantizeInt4(View<uint16_t> values_bf16) {
  Int4Blocks blocks;
  blocks.count = values_bf16.size();
  blocks.packed.resize((values_bf16.size() + 1) / 2);
  blocks.scales.resize((values_bf16.size() + 127) / 128);
  llmcore_error* error = llmcore_quantize_int4(values_bf16.data(), blocks.count,
                                               blocks.packed.data(), blocks.scales.data());
  if (error != nullptr) return Error::Take(error);
  return Result<Int4Blocks>(std::move(blocks));
}

// bf16 values. kInvalidArgument: the sizes do not fit each other.
inline Result<std::vector<uint16_t>> DequantizeInt4(const Int4Blocks& blocks) {
  if (blocks.packed.size() != blocks.count / 2 + blocks.count % 2 ||
      blocks.scales.size() != blocks.count / 128 + (blocks.count % 128 != 0 ? 1 : 0)) {
    return Error(ErrorCode::kInvalidArgument, "the sizes of Int4Blocks do not fit its count");
  }
  std::vector<uint16_t> values(static_cast<size_t>(blocks.count));
  llmcore_error* error = llmcore_dequantize_int4(blocks.packed.data(), blocks.scales.data(),
                                                 blocks.count, values.data());
  if (error != nullptr) return Error::Take(error);
  return Result<std::vector<uint16_t>>(std::move(values));
}

// Writes the model directory `source` with quantized weights to the new directory `destination`. Of
// the options weights (kInt8 or kInt4, also kAuto), checkpoint_layout, threads, progress, log and
// cancel count.
[[nodiscard]] inline Result<void> QuantizeCheckpoint(std::string_view source,
                                                     std::string_view destination,
                                                     const LoadOptions& options = LoadOptions()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
  if (!c_options.ok()) return c_options.error();
  return Error::Take(llmcore_quantize_checkpoint(source.data(), source.size(), destination.data(),
                                                 destination.size(), c_options->get()));
}

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_QUANTIZE_HPP_
