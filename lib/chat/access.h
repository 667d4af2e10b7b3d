// Reading values: members, items, slices, lengths and iteration, with the rules of Jinja2's
// immutable sandbox.
#ifndef LLMCORE_LIB_CHAT_ACCESS_H_
#define LLMCORE_LIB_CHAT_ACCESS_H_

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// `object.name`: a member of the Python type, else the item of that key, else undefined. `name`
// outlives the rendering.
absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& object, absl::string_view name);

// `object[key]`: the item, else (for a string) the member of the type, else undefined.
absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& object, const Value& key);

// `object[start:stop:step]`; None stands for what is left out.
absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                               const Value& stop, const Value& step);

// len(value).
absl::StatusOr<int64_t> Length(Runtime& runtime, const Value& value);

// Whether len() and [] are for values of this kind.
bool IsSequenceLike(const Value& value);

// Iteration over whatever can be iterated.
class ItemSource {
 public:
  // "'int' object is not iterable".
  absl::Status Open(const Value& value);

  // False at the end.
  absl::StatusOr<bool> Next(Runtime& runtime, Value* item);

  // How many items there are in all, where Python's len() tells.
  std::optional<int64_t> KnownLength() const;

 private:
  Value value_;
  size_t position_ = 0;  // an index; of a string a byte offset
};

absl::Status AppendAll(Runtime& runtime, const Value& iterable, std::vector<Value>* out);

// The path "a.b.0" of filters that take an attribute, or an integer index.
absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& object, const Value& path);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_ACCESS_H_
