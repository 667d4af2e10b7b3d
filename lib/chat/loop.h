// The state of a for loop, and what `loop` shows of it.
#ifndef LLMCORE_LIB_CHAT_LOOP_H_
#define LLMCORE_LIB_CHAT_LOOP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/access.h"
#include "lib/chat/ast.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

class Scope;

// Items are fetched when they are needed, and no earlier: the loop's filter may depend on what its
// body does.
struct Loop : Owned {
  // Whether the loop's filter takes the item.
  using Accept = std::function<absl::StatusOr<bool>(const Value& item)>;

  // Moves to the next item; false at the end.
  absl::StatusOr<bool> Advance(Runtime& runtime);
  // The item after the current one, NULL at the end.
  absl::StatusOr<const Value*> Peek(Runtime& runtime);
  // How many items there are in all; reads them all when nothing else tells.
  absl::StatusOr<int64_t> Length(Runtime& runtime);

  const ForStatement* statement = nullptr;
  Scope* scope = nullptr;  // the one that the loop stands in
  ItemSource source;
  Accept accept;  // empty: every item
  int64_t depth0 = 0;
  int64_t index0 = -1;
  Value current;
  std::optional<Value> previous;
  std::optional<std::vector<Value>> last_changed;

 private:
  absl::StatusOr<bool> Fetch(Runtime& runtime, Value* item);

  std::vector<Value> ahead_;  // fetched and not yet reached, from ahead_position_ on
  size_t ahead_position_ = 0;
  std::optional<int64_t> length_;
};

// `loop.name`; nullopt when `loop` has no such member.
absl::StatusOr<std::optional<Value>> LoopMember(Runtime& runtime, Loop& loop,
                                                absl::string_view name);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_LOOP_H_
