// A trie of byte strings with a number at the end of each.
#ifndef LLMCORE_LIB_TOKENIZER_BYTE_TRIE_H_
#define LLMCORE_LIB_TOKENIZER_BYTE_TRIE_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/hash_map.h"

namespace llmcore::core {

class ByteTrie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // A later value for the same key counts.
  void Insert(absl::string_view key, uint32_t value) {
    uint32_t node = 0;
    for (const char byte : key) {
      const auto [child, is_new] =
          children_.try_emplace(Key(node, byte), static_cast<uint32_t>(values_.size()));
      node = child->second;
      if (is_new) values_.push_back(kNone);
    }
    values_[node] = value;
  }

  // visit(length, value) for every key that text.substr(at) begins with, shortest first.
  template <typename Visit>
  void VisitPrefixes(absl::string_view text, size_t at, Visit visit) const {
    uint32_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      const auto child = children_.find(Key(node, text.data()[i]));
      if (child == children_.end()) return;
      node = child->second;
      if (values_[node] != kNone) visit(i + 1 - at, values_[node]);
    }
  }

 private:
  static uint64_t Key(uint32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
  }

  HashMap<uint64_t, uint32_t> children_;  // (node, byte) -> node; the root is 0
  std::vector<uint32_t> values_ = {kNone};
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_BYTE_TRIE_H_
