#include "lib/chat/loop.h"

#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"

namespace llmcore::core::chat {
namespace {

// loop.cycle('a', 'b')
absl::StatusOr<Value> Cycle(Runtime&, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) return Failure("takes no named arguments");
  if (arguments.positional.empty()) return Failure("no items for cycling given");
  const int64_t index = std::max<int64_t>(self.loop().index0, 0);
  return arguments.positional[static_cast<size_t>(index) % arguments.positional.size()];
}

// loop.changed(x): whether the arguments differ from those of the last call.
absl::StatusOr<Value> Changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) return Failure("takes no named arguments");
  Loop& loop = self.loop();
  if (loop.last_changed.has_value()) {
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, Value::Tuple(*loop.last_changed),
                                                     Value::Tuple(arguments.positional)));
    if (equal) return Value::Bool(false);
  }
  runtime.heap().Count(arguments.positional.size_bytes());
  loop.last_changed.emplace(arguments.positional.begin(), arguments.positional.end());
  return Value::Bool(true);
}

}  // namespace

absl::StatusOr<bool> Loop::Fetch(Runtime& runtime, Value* item) {
  for (;;) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, item));
    if (!more) return false;
    if (!accept) return true;
    LLMCORE_ASSIGN_OR_RETURN(const bool accepted, accept(*item));
    if (accepted) return true;
  }
}

absl::StatusOr<const Value*> Loop::Peek(Runtime& runtime) {
  if (ahead_position_ == ahead_.size()) {
    Value item;
    LLMCORE_ASSIGN_OR_RETURN(const bool more, Fetch(runtime, &item));
    if (!more) return nullptr;
    ahead_.clear();
    ahead_position_ = 0;
    ahead_.push_back(item);
  }
  return &ahead_[ahead_position_];
}

absl::StatusOr<bool> Loop::Advance(Runtime& runtime) {
  Value item;
  if (ahead_position_ < ahead_.size()) {
    item = ahead_[ahead_position_++];
  } else {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, Fetch(runtime, &item));
    if (!more) return false;
  }
  if (index0 >= 0) previous = current;
  ++index0;
  current = item;
  return true;
}

absl::StatusOr<int64_t> Loop::Length(Runtime& runtime) {
  if (length_.has_value()) return *length_;
  if (!accept) length_ = source.KnownLength();
  if (length_.has_value()) return *length_;
  for (Value item;;) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, Fetch(runtime, &item));
    if (!more) break;
    runtime.heap().Count(sizeof(Value));
    ahead_.push_back(item);
  }
  length_ = index0 + 1 + static_cast<int64_t>(ahead_.size() - ahead_position_);
  return *length_;
}

absl::StatusOr<std::optional<Value>> LoopMember(Runtime& runtime, Loop& loop,
                                                absl::string_view name) {
  if (name == "index") return Value::Int(loop.index0 + 1);
  if (name == "index0") return Value::Int(loop.index0);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth") return Value::Int(loop.depth0 + 1);
  if (name == "depth0") return Value::Int(loop.depth0);
  if (name == "length" || name == "revindex" || name == "revindex0") {
    LLMCORE_ASSIGN_OR_RETURN(const int64_t length, loop.Length(runtime));
    if (name == "length") return Value::Int(length);
    return Value::Int(length - loop.index0 - (name == "revindex0" ? 1 : 0));
  }
  if (name == "last" || name == "nextitem") {
    LLMCORE_ASSIGN_OR_RETURN(const Value* next, loop.Peek(runtime));
    if (name == "last") return Value::Bool(next == nullptr);
    if (next == nullptr) return runtime.heap().UndefinedHint("there is no next item");
    return *next;
  }
  if (name == "previtem") {
    if (!loop.previous.has_value()) {
      return runtime.heap().UndefinedHint("there is no previous item");
    }
    return *loop.previous;
  }
  const Value self = Value::Of(&loop);
  if (name == "cycle") return Value::Of(runtime.heap().New(Function{"cycle", Cycle, self}));
  if (name == "changed") return Value::Of(runtime.heap().New(Function{"changed", Changed, self}));
  return std::nullopt;
}

}  // namespace llmcore::core::chat
