#include "lib/chat/access.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/interpreter.h"
#include "lib/chat/loop.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

// What the Python type itself has under the name; nullopt where getattr() would fail.
absl::StatusOr<std::optional<Value>> TypeMember(Runtime& runtime, const Value& object,
                                                absl::string_view name) {
  switch (object.kind()) {
    case Kind::kNamespace: {
      const Value* const member = object.name_space().Find(name);
      if (member == nullptr) return std::nullopt;
      return *member;
    }
    case Kind::kLoop:
      return LoopMember(runtime, object.loop(), name);
    case Kind::kCycler:
      if (name == "current") return object.cycler().items[object.cycler().position];
      break;
    default:
      break;
  }
  if (absl::StartsWith(name, "__") && absl::EndsWith(name, "__")) {
    return runtime.heap().UnsafeMember(object, Value::String(name));
  }
  if (IsMutatingMethod(object, name)) {
    return runtime.heap().UnsafeMember(object, Value::String(name));
  }
  if (const NamedFilter* method = FindMethod(object, name)) {
    return Value::Of(runtime.heap().New(Function{method->name, method->function, object}));
  }
  if (object.kind() == Kind::kMacro) {
    if (name == "name") return Value::String(object.macro().definition->name);
    return Unsupported("the attribute '", name, "' of a macro");
  }
  return std::nullopt;
}

// The element at a Python index, or nullopt.
std::optional<size_t> ResolveIndex(int64_t index, size_t size) {
  const auto signed_size = static_cast<int64_t>(size);
  if (index < 0) index += signed_size;
  if (index < 0 || index >= signed_size) return std::nullopt;
  return static_cast<size_t>(index);
}

absl::StatusOr<std::optional<Value>> StringItem(Runtime& runtime, const Value& object,
                                                int64_t index) {
  const absl::string_view text = object.text();
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(text.size()));
  const std::optional<size_t> position = ResolveIndex(index, CountCharacters(text));
  if (!position.has_value()) return std::nullopt;
  const size_t offset = CharacterOffset(text, *position);
  return Value::String(text.substr(offset, CharacterLength(text, offset)), object.is_markup());
}

// object[key] where Python has it; nullopt for its LookupError and TypeError.
absl::StatusOr<std::optional<Value>> Subscript(Runtime& runtime, const Value& object,
                                               const Value& key) {
  switch (object.kind()) {
    case Kind::kDict: {
      const absl::Status hashable = CheckHashable(runtime, key);
      if (!hashable.ok()) {
        if (absl::IsInvalidArgument(hashable)) return std::nullopt;
        return hashable;
      }
      const Value* const value = object.dict().Find(key);
      if (value == nullptr) return std::nullopt;
      return *value;
    }
    case Kind::kList:
    case Kind::kTuple: {
      if (!key.is_integral()) return std::nullopt;
      const auto index = ResolveIndex(key.as_int(), object.items().size());
      if (!index.has_value()) return std::nullopt;
      return object.items()[*index];
    }
    case Kind::kString:
      if (!key.is_integral()) return std::nullopt;
      return StringItem(runtime, object, key.as_int());
    case Kind::kRange: {
      if (!key.is_integral()) return std::nullopt;
      const Range& range = object.range();
      const auto index = ResolveIndex(key.as_int(), static_cast<size_t>(range.size()));
      if (!index.has_value()) return std::nullopt;
      return Value::Int(range.start + static_cast<int64_t>(*index) * range.step);
    }
    default:
      return std::nullopt;
  }
}

struct SliceBounds {
  int64_t start;
  int64_t step;
  int64_t count;
};

absl::StatusOr<int64_t> SliceIndex(const Value& value, int64_t fallback) {
  if (value.is_none()) return fallback;
  if (value.is_integral()) return value.as_int();
  if (value.is_undefined()) return UndefinedError(value);
  return Failure("slice indices must be integers or None");
}

// slice(start, stop, step).indices(size), as a count.
absl::StatusOr<SliceBounds> ResolveSlice(const Value& start, const Value& stop, const Value& step,
                                         int64_t size) {
  LLMCORE_ASSIGN_OR_RETURN(int64_t stride, SliceIndex(step, 1));
  if (stride == 0) return Failure("slice step cannot be zero");
  stride = std::max(stride, -std::numeric_limits<int64_t>::max());
  const bool forward = stride > 0;
  const int64_t lowest = forward ? 0 : -1;
  const int64_t highest = forward ? size : size - 1;
  const auto clamp = [&](int64_t index) {
    if (index < 0) index += size;
    return std::clamp(index, lowest, highest);
  };
  LLMCORE_ASSIGN_OR_RETURN(int64_t first, SliceIndex(start, 0));
  LLMCORE_ASSIGN_OR_RETURN(int64_t end, SliceIndex(stop, 0));
  first = start.is_none() ? (forward ? lowest : highest) : clamp(first);
  end = stop.is_none() ? (forward ? highest : lowest) : clamp(end);
  const int64_t span = forward ? end - first : first - end;
  const int64_t pace = forward ? stride : -stride;
  return SliceBounds{first, stride, span > 0 ? (span - 1) / pace + 1 : 0};
}

absl::StatusOr<Value> SliceText(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  const absl::string_view text = object.text();
  if (bounds.count == 0) return Value::String("", object.is_markup());
  if (bounds.step == 1) {
    const size_t begin = CharacterOffset(text, static_cast<size_t>(bounds.start));
    const absl::string_view rest = text.substr(begin);
    return Value::String(rest.substr(0, CharacterOffset(rest, static_cast<size_t>(bounds.count))),
                         object.is_markup());
  }
  std::vector<uint32_t> offsets;
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(text.size() * sizeof(uint32_t)));
  for (size_t i = 0; i < text.size(); i += CharacterLength(text, i)) {
    offsets.push_back(static_cast<uint32_t>(i));
  }
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(text.size() / 8));
  std::string out;
  for (int64_t i = 0; i < bounds.count; ++i) {
    const size_t offset = offsets[static_cast<size_t>(bounds.start + i * bounds.step)];
    out.append(text.data() + offset, CharacterLength(text, offset));
  }
  return runtime.heap().CopyString(out, object.is_markup());
}

absl::StatusOr<Value> SliceItems(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  const std::span<const Value> items = object.items();
  const bool is_tuple = object.kind() == Kind::kTuple;
  if (bounds.step == 1) {  // lists do not change, so the part can be shared
    const auto part =
        items.subspan(static_cast<size_t>(bounds.start), static_cast<size_t>(bounds.count));
    return is_tuple ? Value::Tuple(part) : Value::List(part);
  }
  std::vector<Value> picked;
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(static_cast<uint64_t>(bounds.count)));
  for (int64_t i = 0; i < bounds.count; ++i) {
    picked.push_back(items[static_cast<size_t>(bounds.start + i * bounds.step)]);
  }
  return is_tuple ? runtime.heap().CopyTuple(picked) : runtime.heap().CopyList(picked);
}

}  // namespace

absl::StatusOr<Value> GetAttribute(Runtime& runtime, const Value& object, absl::string_view name) {
  if (object.is_undefined()) return UndefinedError(object);
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<Value> member, TypeMember(runtime, object, name));
  if (member.has_value()) return *member;
  if (object.is_dict()) {
    if (const Value* value = object.dict().Find(name)) return *value;
  }
  return runtime.heap().UndefinedMember(object, Value::String(name));
}

absl::StatusOr<Value> GetItem(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return UndefinedError(object);
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<Value> item, Subscript(runtime, object, key));
  if (item.has_value()) return *item;
  if (key.is_string()) {
    LLMCORE_ASSIGN_OR_RETURN(const std::optional<Value> member,
                             TypeMember(runtime, object, key.text()));
    if (member.has_value()) return *member;
  }
  return runtime.heap().UndefinedMember(object, key);
}

absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                               const Value& stop, const Value& step) {
  if (object.is_undefined()) return UndefinedError(object);
  if (object.is_dict()) return Failure("unhashable type: 'slice'");
  if (!object.is_string() && !object.is_sequence() && object.kind() != Kind::kRange) {
    return Failure("'", TypeName(object), "' object is not subscriptable");
  }
  LLMCORE_ASSIGN_OR_RETURN(const int64_t size, Length(runtime, object));
  LLMCORE_ASSIGN_OR_RETURN(const SliceBounds bounds, ResolveSlice(start, stop, step, size));
  if (object.is_string()) return SliceText(runtime, object, bounds);
  if (object.is_sequence()) return SliceItems(runtime, object, bounds);
  return Unsupported("a slice of a range");
}

absl::StatusOr<int64_t> Length(Runtime& runtime, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      LLMCORE_RETURN_IF_ERROR(runtime.SpendText(value.text().size()));
      return static_cast<int64_t>(CountCharacters(value.text()));
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kView:
      return static_cast<int64_t>(value.view().dict->entries.size());
    case Kind::kRange:
      return value.range().size();
    case Kind::kLoop: {
      LLMCORE_ASSIGN_OR_RETURN(const auto length, LoopMember(runtime, value.loop(), "length"));
      return length->as_int();
    }
    default:
      return Failure("object of type '", TypeName(value), "' has no len()");
  }
}

bool IsSequenceLike(const Value& value) {
  return value.is_string() || value.is_sequence() || value.is_dict() || value.is_undefined() ||
         value.kind() == Kind::kRange;
}

absl::Status ItemSource::Open(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
      value_ = value;
      position_ = 0;
      return absl::OkStatus();
    case Kind::kLoop:
      return Unsupported("iterating over 'loop'");
    default:
      return Failure("'", TypeName(value), "' object is not iterable");
  }
}

absl::StatusOr<bool> ItemSource::Next(Runtime& runtime, Value* item) {
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
  switch (value_.kind()) {
    case Kind::kString: {
      const absl::string_view text = value_.text();
      if (position_ >= text.size()) return false;
      const size_t length = CharacterLength(text, position_);
      *item = Value::String(text.substr(position_, length));  // iterating over Markup gives str
      position_ += length;
      return true;
    }
    case Kind::kList:
    case Kind::kTuple:
      if (position_ >= value_.items().size()) return false;
      *item = value_.items()[position_++];
      return true;
    case Kind::kDict:
      if (position_ >= value_.dict().entries.size()) return false;
      *item = value_.dict().entries[position_++].key;
      return true;
    case Kind::kRange: {
      const Range& range = value_.range();
      if (position_ >= static_cast<size_t>(range.size())) return false;
      *item = Value::Int(range.start + static_cast<int64_t>(position_++) * range.step);
      return true;
    }
    case Kind::kView: {
      const View& view = value_.view();
      if (position_ >= view.dict->entries.size()) return false;
      const DictEntry& entry = view.dict->entries[position_++];
      *item = view.part == View::Part::kKeys     ? entry.key
              : view.part == View::Part::kValues ? entry.value
                                                 : runtime.heap().Pair(entry.key, entry.value);
      return true;
    }
    case Kind::kIterator: {
      Iterator& iterator = value_.iterator();
      if (iterator.position < iterator.items.size()) {
        *item = iterator.items[iterator.position++];
        return true;
      }
      if (iterator.error != nullptr) return *iterator.error;
      return false;
    }
    default:
      return false;
  }
}

std::optional<int64_t> ItemSource::KnownLength() const {
  switch (value_.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(CountCharacters(value_.text()));
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value_.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value_.dict().entries.size());
    case Kind::kView:
      return static_cast<int64_t>(value_.view().dict->entries.size());
    case Kind::kRange:
      return value_.range().size();
    default:
      return std::nullopt;
  }
}

absl::Status AppendAll(Runtime& runtime, const Value& iterable, std::vector<Value>* out) {
  ItemSource source;
  LLMCORE_RETURN_IF_ERROR(source.Open(iterable));
  for (Value item;;) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
    if (!more) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out->size() * sizeof(Value)));
    out->push_back(item);
  }
}

absl::StatusOr<Value> GetPath(Runtime& runtime, const Value& object, const Value& path) {
  if (path.is_integral()) return GetItem(runtime, object, path);
  if (!path.is_string()) return Failure("an attribute must be a string or an integer");
  Value current = object;
  for (const absl::string_view part : absl::StrSplit(path.text(), '.')) {
    LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
    int64_t index = 0;
    const bool is_index = !part.empty() &&
                          absl::ascii_isdigit(static_cast<unsigned char>(part[0])) &&
                          absl::SimpleAtoi(part, &index);
    LLMCORE_ASSIGN_OR_RETURN(
        current, GetItem(runtime, current, is_index ? Value::Int(index) : Value::String(part)));
  }
  return current;
}

}  // namespace llmcore::core::chat
