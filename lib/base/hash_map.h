// Hash maps that survive a failed allocation. Abseil's flat containers do not: they take over the
// larger capacity before its memory is there, so that a std::bad_alloc leaves them corrupt.
#ifndef LLMCORE_LIB_BASE_HASH_MAP_H_
#define LLMCORE_LIB_BASE_HASH_MAP_H_

#include <functional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace llmcore::core {
namespace internal {

// Strings and views of them find each other.
struct StringHash {
  using is_transparent = void;
  size_t operator()(absl::string_view text) const { return absl::HashOf(text); }
};
struct StringEqual {
  using is_transparent = void;
  bool operator()(absl::string_view a, absl::string_view b) const { return a == b; }
};

template <typename Key>
inline constexpr bool kIsText =
    std::is_same_v<Key, std::string> || std::is_same_v<Key, absl::string_view>;
template <typename Key>
using HashOfKey = std::conditional_t<kIsText<Key>, StringHash, absl::Hash<Key>>;
template <typename Key>
using EqualOfKey = std::conditional_t<kIsText<Key>, StringEqual, std::equal_to<Key>>;

}  // namespace internal

template <typename Key, typename Value>
using HashMap = std::unordered_map<Key, Value, internal::HashOfKey<Key>, internal::EqualOfKey<Key>>;

template <typename Key>
using HashSet = std::unordered_set<Key, internal::HashOfKey<Key>, internal::EqualOfKey<Key>>;

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_HASH_MAP_H_
