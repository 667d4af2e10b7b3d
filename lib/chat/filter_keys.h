// What filters sort, compare and group by.
#ifndef LLMCORE_LIB_CHAT_FILTER_KEYS_H_
#define LLMCORE_LIB_CHAT_FILTER_KEYS_H_

#include <vector>

#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

struct KeyedItem {
  Value key;
  Value item;
};

struct KeyOptions {
  const Value* attribute = nullptr;  // NULL or None: the item itself
  bool case_sensitive = false;       // else strings are compared in lower case
  bool several = false;              // the key is a list, of one part or of those of "a,b"
  const Value* fallback = nullptr;   // where the attribute is undefined
};

// The items of an iterable with their keys.
absl::StatusOr<std::vector<KeyedItem>> KeyedItems(Runtime& runtime, const Value& iterable,
                                                  const KeyOptions& options);

// The items, sorted by key; equal ones keep their order.
absl::StatusOr<std::vector<KeyedItem>> SortByKey(Runtime& runtime, std::vector<KeyedItem> items,
                                                 bool reverse);
absl::StatusOr<Value> SortedList(Runtime& runtime, std::vector<KeyedItem> items, bool reverse);

// A string in lower case; any other value as it is.
absl::StatusOr<Value> IgnoreCase(Runtime& runtime, const Value& value);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_FILTER_KEYS_H_
