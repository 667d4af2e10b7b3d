// Python's truth, equality, order and hashing.
#ifndef LLMCORE_LIB_CHAT_COMPARE_H_
#define LLMCORE_LIB_CHAT_COMPARE_H_

#include <cstddef>

#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

bool IsTrue(const Value& value);

absl::StatusOr<bool> Equal(Runtime& runtime, const Value& a, const Value& b);
// a < b; an error for values without an order.
absl::StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b);

enum class Order { kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
absl::StatusOr<bool> Ordered(Runtime& runtime, Order order, const Value& a, const Value& b);

// `needle in haystack`.
absl::StatusOr<bool> Contains(Runtime& runtime, const Value& haystack, const Value& needle);

// An error unless the value can be a key of a dict; the two below need that. Counts its work.
absl::Status CheckHashable(Runtime& runtime, const Value& key);
bool KeysEqual(const Value& a, const Value& b);
size_t HashKey(const Value& key);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_COMPARE_H_
