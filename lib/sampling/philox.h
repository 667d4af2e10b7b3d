// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"):
// a bijection of a 128-bit counter under a 64-bit key. It holds no state, so that a draw depends on
// its coordinates alone and not on what was drawn before it.
#ifndef LLMCORE_LIB_SAMPLING_PHILOX_H_
#define LLMCORE_LIB_SAMPLING_PHILOX_H_

#include <array>
#include <cstdint>

namespace llmcore::core {

constexpr std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

// Where a draw stands: all that it depends on.
struct DrawKey {
  uint64_t seed = 0;
  uint64_t request = 0;   // tells draws of one seed apart, such as several answers to one prompt
  uint64_t position = 0;  // of the token in its sequence
};

// Uniform in [0, 1), a multiple of 2^-53.
constexpr double UniformDraw(const DrawKey& key) {
  const auto low = [](uint64_t value) { return static_cast<uint32_t>(value); };
  const auto high = [](uint64_t value) { return static_cast<uint32_t>(value >> 32); };
  const std::array<uint32_t, 4> words =
      Philox4x32({low(key.position), high(key.position), low(key.request), high(key.request)},
                 {low(key.seed), high(key.seed)});
  const uint64_t bits = uint64_t{words[1]} << 32 | words[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_PHILOX_H_
