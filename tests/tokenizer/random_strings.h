// The strings of generate_vectors.py, and the hash of what a tokenizer makes of them.
#ifndef LLMCORE_TESTS_TOKENIZER_RANDOM_STRINGS_H_
#define LLMCORE_TESTS_TOKENIZER_RANDOM_STRINGS_H_

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/utf8.h"
#include "lib/tokenizer/vocabulary.h"

namespace llmcore::core {

inline constexpr int kStringsPerLine = 25;

// SplitMix64 (Steele, Lea, Flood 2014).
class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t limit) {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (z ^ z >> 31) % limit;
  }

 private:
  uint64_t state_;
};

using CodePointRange = std::pair<char32_t, char32_t>;  // inclusive

inline const std::vector<std::vector<CodePointRange>>& RandomPools() {
  static const std::vector<std::vector<CodePointRange>> pools = {
      {{0x20, 0x7E}},
      {{0x61, 0x7A}},
      {{0x30, 0x39}, {0xB2, 0xB3}, {0x2160, 0x216B}, {0x660, 0x669}, {0xBC, 0xBE}},
      {{0x20, 0x20},
       {0x09, 0x0D},
       {0x85, 0x85},
       {0xA0, 0xA0},
       {0x2000, 0x200F},
       {0x2028, 0x2029},
       {0x3000, 0x3000},
       {0x180E, 0x180E},
       {0xFEFF, 0xFEFF}},
      {{0x20, 0x20}, {0x0A, 0x0A}, {0x0D, 0x0D}, {0x20, 0x20}},
      {{0xA1, 0x24F}},
      {{0x300, 0x34E}, {0x61, 0x65}},
      {{0x391, 0x3A1}, {0x3B1, 0x3C9}, {0x410, 0x44F}},
      {{0x5D0, 0x5EA}, {0x621, 0x64A}, {0x64B, 0x652}},
      {{0x905, 0x939}, {0x93C, 0x93C}, {0x93E, 0x94D}, {0x995, 0x9A8}, {0xE01, 0xE3A}},
      {{0x1100, 0x1112}, {0x1161, 0x1175}, {0x11A7, 0x11C2}},
      {{0x3041, 0x3096}, {0x30A1, 0x30FA}, {0x4E00, 0x9FA5}},
      {{0xAC00, 0xD7A3}},
      {{0x1F300, 0x1F5FF},
       {0x1F600, 0x1F64F},
       {0x200D, 0x200D},
       {0xFE0F, 0xFE0F},
       {0x1F1E6, 0x1F1FF}},
      {{0xFF01, 0xFF5E}, {0xFB00, 0xFB06}, {0x2070, 0x2071}, {0x2100, 0x2138}},
      {{0x2010, 0x2027}, {0x2030, 0x205E}, {0x20A0, 0x20BE}, {0x2190, 0x21FF}},
      {{0x01, 0x1F}, {0x7F, 0x9F}, {0xE000, 0xE0FF}, {0xFFFD, 0xFFFD}},
      {{0x1D400, 0x1D454}, {0x10400, 0x1044F}, {0x20000, 0x20100}},
  };
  return pools;
}

inline constexpr const char* kRandomSnippets[] = {
    "the",      " of",      " and",          "ing",          "'s",         "'S",
    "'ll",      "'re",      "n't",           "'\xC5\xBF",    "'",          "\xE2\x96\x81",
    "<0x41>",   "  ",       "   ",           "\n\n",         " \n",        "1234567",
    "...",      "!!",       "\xC4\xA0",      "Hello",        " World",     "<s>",
    "</s>",     "<unk>",    "[SPECIAL]",     " [LEFT] ",     " [RIGHT] ",  "[WORD]",
    "[NORMAL]", "[normal]", "<|endoftext|>", "<|im_start|>", "<|eot_id|>", "##a",
    "ab ab"};

inline std::string RandomString(SplitMix* random) {
  constexpr int kLengths[] = {0, 1, 2, 3, 5, 8, 13, 21, 34, 55};
  const auto& pools = RandomPools();
  const int length = kLengths[random->Below(std::size(kLengths))];
  std::vector<uint64_t> chosen(1 + random->Below(4));
  for (uint64_t& pool : chosen) pool = random->Below(pools.size() + 2);
  std::string text;
  for (int i = 0; i < length; ++i) {
    const uint64_t pool = chosen[random->Below(chosen.size())];
    if (pool >= pools.size()) {
      text += kRandomSnippets[random->Below(std::size(kRandomSnippets))];
      continue;
    }
    const auto [first, last] = pools[pool][random->Below(pools[pool].size())];
    AppendUtf8(first + static_cast<char32_t>(random->Below(last - first + 1)), &text);
  }
  return text;
}

// FNV-1a, 64 bits.
class ResultHash {
 public:
  void AddResult(const std::vector<TokenId>& ids, const std::string& text) {
    for (const TokenId id : ids) {
      for (int shift = 0; shift < 32; shift += 8) Add(static_cast<uint32_t>(id) >> shift & 0xFF);
    }
    Add(0xFF);
    for (const char c : text) Add(static_cast<uint8_t>(c));
    Add(0xFF);
  }
  uint64_t value() const { return value_; }

 private:
  void Add(uint32_t byte) { value_ = (value_ ^ byte) * 0x100000001B3; }
  uint64_t value_ = 0xCBF29CE484222325;
};

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_TOKENIZER_RANDOM_STRINGS_H_
