#include "lib/chat/value.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"

namespace llmcore::core::chat {
namespace {

constexpr size_t kBlockBytes = 32768;
constexpr size_t kSmallDict = 8;  // up to here a search from the start is as fast as a table

// What the message of an undefined member calls its object.
std::string ObjectName(const Value& value) {
  if (value.is_none()) return "None";
  return absl::StrCat(TypeName(value), " object");
}

}  // namespace

Value Value::Bool(bool value) {
  Value result(Kind::kBool, nullptr);
  result.payload_.integer = value ? 1 : 0;
  return result;
}

Value Value::Int(int64_t value) {
  Value result(Kind::kInt, nullptr);
  result.payload_.integer = value;
  return result;
}

Value Value::Float(double value) {
  Value result(Kind::kFloat, nullptr);
  result.payload_.number = value;
  return result;
}

Value Value::String(absl::string_view text, bool markup) {
  Value result(Kind::kString, nullptr);
  result.payload_.characters = text.data();
  result.size_ = static_cast<uint32_t>(text.size());
  result.markup_ = markup;
  return result;
}

Value Value::Items(Kind kind, std::span<const Value> items) {
  Value result(kind, items.data());
  result.size_ = static_cast<uint32_t>(items.size());
  return result;
}

bool Value::IsSame(const Value& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kNone:
      return true;
    case Kind::kString:
      return text() == other.text();
    case Kind::kFloat:
      return payload_.number == other.payload_.number;
    default:
      return payload_.integer == other.payload_.integer && size_ == other.size_;
  }
}

const Value* Dict::Find(const Value& key) const {
  if (table.empty()) {
    for (const DictEntry& entry : entries) {
      if (KeysEqual(entry.key, key)) return &entry.value;
    }
    return nullptr;
  }
  const size_t mask = table.size() - 1;
  for (size_t slot = HashKey(key) & mask; table[slot] != 0; slot = (slot + 1) & mask) {
    const DictEntry& entry = entries[table[slot] - 1];
    if (KeysEqual(entry.key, key)) return &entry.value;
  }
  return nullptr;
}

int64_t Range::size() const {
  // Unsigned differences cannot overflow.
  if (step > 0 && start < stop) {
    const uint64_t span = static_cast<uint64_t>(stop) - static_cast<uint64_t>(start);
    return static_cast<int64_t>((span - 1) / static_cast<uint64_t>(step) + 1);
  }
  if (step < 0 && start > stop) {
    const uint64_t span = static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
    return static_cast<int64_t>((span - 1) / (uint64_t{0} - static_cast<uint64_t>(step)) + 1);
  }
  return 0;
}

const Value* Namespace::Find(absl::string_view name) const {
  for (const auto& [key, value] : members_) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::Set(absl::string_view name, Value value) {
  for (auto& [key, old] : members_) {
    if (key == name) {
      old = value;
      return;
    }
  }
  members_.emplace_back(name, value);
}

absl::Status Heap::Check(uint64_t bytes) const {
  if (bytes <= max_bytes_ && used_ <= max_bytes_ - bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the template's values need more than the limit of ", max_bytes_, " bytes"));
}

void* Heap::Allocate(size_t bytes) {
  bytes = (bytes + 15) & ~size_t{15};
  used_ += bytes;
  if (bytes > left_) {
    // A large object has a block of its own, so that the rest of the current one is not wasted.
    const size_t size = bytes > kBlockBytes / 4 ? bytes : kBlockBytes;
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    if (size == bytes) return blocks_.back().get();
    next_ = blocks_.back().get();
    left_ = size;
  }
  char* const result = next_;
  next_ += bytes;
  left_ -= bytes;
  return result;
}

absl::StatusOr<Value> Heap::CopyString(absl::string_view text, bool markup) {
  if (text.empty()) return Value::String("", markup);
  LLMCORE_RETURN_IF_ERROR(Check(text.size()));
  std::span<char> copy = NewArray<char>(text.size());
  std::memcpy(copy.data(), text.data(), text.size());
  return Value::String({copy.data(), copy.size()}, markup);
}

absl::StatusOr<Value> Heap::CopyList(std::span<const Value> items) {
  LLMCORE_RETURN_IF_ERROR(Check(items.size_bytes()));
  // One more than needed, so that each list has an address of its own.
  std::span<Value> copy = NewArray<Value>(items.size() + 1).first(items.size());
  std::copy(items.begin(), items.end(), copy.begin());
  return Value::List(copy);
}

absl::StatusOr<Value> Heap::CopyTuple(std::span<const Value> items) {
  LLMCORE_ASSIGN_OR_RETURN(const Value list, CopyList(items));
  return Value::Tuple(list.items());
}

absl::StatusOr<Value> Heap::MakeDict(std::span<const DictEntry> entries) {
  size_t slots = 0;
  if (entries.size() > kSmallDict) {
    for (slots = 32; slots < 2 * entries.size();) slots *= 2;
  }
  LLMCORE_RETURN_IF_ERROR(Check(entries.size_bytes() + slots * sizeof(uint32_t)));
  std::span<DictEntry> copy = NewArray<DictEntry>(entries.size());
  std::span<uint32_t> table = NewArray<uint32_t>(slots);
  std::fill(table.begin(), table.end(), 0);
  size_t count = 0;
  for (const DictEntry& entry : entries) {
    size_t slot = 0;
    const DictEntry* old = nullptr;
    if (slots == 0) {
      for (size_t i = 0; i < count && old == nullptr; ++i) {
        if (KeysEqual(copy[i].key, entry.key)) old = &copy[i];
      }
    } else {
      for (slot = HashKey(entry.key) & (slots - 1); table[slot] != 0;
           slot = (slot + 1) & (slots - 1)) {
        if (KeysEqual(copy[table[slot] - 1].key, entry.key)) {
          old = &copy[table[slot] - 1];
          break;
        }
      }
    }
    if (old != nullptr) {
      const_cast<DictEntry*>(old)->value = entry.value;
      continue;
    }
    copy[count++] = entry;
    if (slots != 0) table[slot] = static_cast<uint32_t>(count);
  }
  return Value::Of(New(Dict{copy.first(count), table}));
}

absl::StatusOr<Value> Heap::MakeIterator(std::span<const Value> items, absl::Status error,
                                         absl::string_view type_name) {
  struct HeldStatus : Owned {
    explicit HeldStatus(absl::Status held) : status(std::move(held)) {}
    const absl::Status status;
  };
  LLMCORE_ASSIGN_OR_RETURN(const Value list, CopyList(items));
  const absl::Status* held = error.ok() ? nullptr : &Own<HeldStatus>(std::move(error))->status;
  return Value::Of(New(Iterator{list.items(), 0, held, type_name}));
}

Value Heap::Pair(Value first, Value second) {
  std::span<Value> items = NewArray<Value>(2);
  items[0] = first;
  items[1] = second;
  return Value::Tuple(items);
}

Value Heap::UndefinedName(absl::string_view name) {
  return Value::Of(New(Undefined{Undefined::Reason::kName, Value(), Value::String(name)}));
}

Value Heap::UndefinedMember(Value object, Value name) {
  return Value::Of(New(Undefined{Undefined::Reason::kMember, object, name}));
}

Value Heap::UnsafeMember(Value object, Value name) {
  return Value::Of(New(Undefined{Undefined::Reason::kUnsafe, object, name}));
}

Value Heap::UndefinedHint(absl::string_view constant_message) {
  return Value::Of(
      New(Undefined{Undefined::Reason::kHint, Value(), Value::String(constant_message)}));
}

absl::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      switch (value.view().part) {
        case View::Part::kKeys:
          return "dict_keys";
        case View::Part::kValues:
          return "dict_values";
        case View::Part::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Kind::kIterator:
      return value.iterator().type_name;
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

absl::Status UndefinedError(const Value& value) {
  const Undefined& undefined = value.undefined();
  switch (undefined.reason) {
    case Undefined::Reason::kName:
      return absl::InvalidArgumentError(absl::StrCat("'", undefined.name.text(), "' is undefined"));
    case Undefined::Reason::kMember:
      if (undefined.name.is_string()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "'", ObjectName(undefined.object), "' has no attribute '", undefined.name.text(), "'"));
      }
      return absl::InvalidArgumentError(absl::StrCat(
          ObjectName(undefined.object), " has no element ", ShortRepr(undefined.name)));
    case Undefined::Reason::kUnsafe:
      return absl::InvalidArgumentError(absl::StrCat("access to attribute '", undefined.name.text(),
                                                     "' of '", TypeName(undefined.object),
                                                     "' object is unsafe."));
    case Undefined::Reason::kHint:
      break;
  }
  return absl::InvalidArgumentError(undefined.name.text());
}

}  // namespace llmcore::core::chat
