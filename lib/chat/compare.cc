#include "lib/chat/compare.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>

#include "absl/strings/match.h"
#include "lib/chat/access.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

constexpr int kMaxDepth = 64;     // of values within values
constexpr int kMaxKeyItems = 64;  // of a tuple that is a key, with those inside it

// -1, 0, 1, or 2 when one is NaN. Exact: a double is never rounded to an int or the reverse.
int CompareNumbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  }
  if (a.kind() == Kind::kFloat && b.kind() == Kind::kFloat) {
    const double x = a.as_float();
    const double y = b.as_float();
    if (std::isnan(x) || std::isnan(y)) return 2;
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.kind() == Kind::kFloat) {
    const int reversed = CompareNumbers(b, a);
    return reversed == 2 ? 2 : -reversed;
  }
  const int64_t x = a.as_int();
  const double y = b.as_float();
  if (std::isnan(y)) return 2;
  if (y >= 9223372036854775808.0) return -1;
  if (y < -9223372036854775808.0) return 1;
  const int64_t whole = static_cast<int64_t>(y);  // towards zero
  if (x != whole) return x < whole ? -1 : 1;
  const double fraction = y - static_cast<double>(whole);
  return fraction > 0 ? -1 : fraction < 0 ? 1 : 0;
}

absl::Status TooDeep() {
  return absl::ResourceExhaustedError(
      absl::StrCat("values nested deeper than ", kMaxDepth, " levels cannot be compared"));
}

absl::StatusOr<bool> EqualAt(Runtime& runtime, const Value& a, const Value& b, int depth);

absl::StatusOr<bool> EqualItems(Runtime& runtime, std::span<const Value> a,
                                std::span<const Value> b, int depth) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, EqualAt(runtime, a[i], b[i], depth));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualDicts(Runtime& runtime, const Dict& a, const Dict& b, int depth) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const DictEntry& entry : a.entries) {
    const Value* const other = b.Find(entry.key);
    if (other == nullptr) return false;
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, EqualAt(runtime, entry.value, *other, depth));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualAt(Runtime& runtime, const Value& a, const Value& b, int depth) {
  if (a.is_number() && b.is_number()) return CompareNumbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
  if (depth > kMaxDepth) return TooDeep();
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.text().size() != b.text().size()) return false;
      LLMCORE_RETURN_IF_ERROR(runtime.SpendText(a.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(runtime, a.items(), b.items(), depth + 1);
    case Kind::kDict:
      return EqualDicts(runtime, a.dict(), b.dict(), depth + 1);
    case Kind::kRange: {
      const Range& x = a.range();
      const Range& y = b.range();
      const int64_t size = x.size();
      return size == y.size() &&
             (size == 0 || (x.start == y.start && (size == 1 || x.step == y.step)));
    }
    case Kind::kView:
      if (a.view().part != View::Part::kValues) return Unsupported("comparing views of a dict");
      return a.IsSame(b);
    default:
      return a.IsSame(b);
  }
}

absl::StatusOr<bool> LessAt(Runtime& runtime, Order order, const Value& a, const Value& b,
                            int depth);

// The first items that differ decide, then the lengths.
absl::StatusOr<bool> OrderItems(Runtime& runtime, Order order, std::span<const Value> a,
                                std::span<const Value> b, int depth) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, EqualAt(runtime, a[i], b[i], depth));
    if (!equal) return LessAt(runtime, order, a[i], b[i], depth);
  }
  return LessAt(runtime, order, Value::Int(static_cast<int64_t>(a.size())),
                Value::Int(static_cast<int64_t>(b.size())), depth);
}

bool Decide(Order order, int comparison) {
  switch (order) {
    case Order::kLess:
      return comparison < 0;
    case Order::kLessOrEqual:
      return comparison <= 0;
    case Order::kGreater:
      return comparison > 0;
    case Order::kGreaterOrEqual:
      return comparison >= 0;
  }
  return false;
}

absl::string_view Symbol(Order order) {
  switch (order) {
    case Order::kLess:
      return "<";
    case Order::kLessOrEqual:
      return "<=";
    case Order::kGreater:
      return ">";
    case Order::kGreaterOrEqual:
      return ">=";
  }
  return "<";
}

absl::StatusOr<bool> LessAt(Runtime& runtime, Order order, const Value& a, const Value& b,
                            int depth) {
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
  if (depth > kMaxDepth) return TooDeep();
  if (a.is_number() && b.is_number()) {
    const int comparison = CompareNumbers(a, b);
    return comparison != 2 && Decide(order, comparison);
  }
  if (a.is_string() && b.is_string()) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(std::min(a.text().size(), b.text().size())));
    return Decide(order, a.text().compare(b.text()));  // UTF-8 sorts as its code points do
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    return OrderItems(runtime, order, a.items(), b.items(), depth + 1);
  }
  if (a.is_undefined()) return UndefinedError(a);
  if (b.is_undefined()) return UndefinedError(b);
  return Failure("'", Symbol(order), "' not supported between instances of '", TypeName(a),
                 "' and '", TypeName(b), "'");
}

absl::Status CheckHashableItems(const Value& key, int& left) {
  if (--left < 0) {
    return absl::UnimplementedError(
        absl::StrCat("a key with more than ", kMaxKeyItems, " items is not supported"));
  }
  switch (key.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      return Failure("unhashable type: '", TypeName(key), "'");
    case Kind::kTuple:
      for (const Value& item : key.items()) {
        LLMCORE_RETURN_IF_ERROR(CheckHashableItems(item, left));
      }
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

}  // namespace

bool IsTrue(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kRange:
      return value.range().size() != 0;
    case Kind::kView:
      return !value.view().dict->entries.empty();
    default:
      return true;
  }
}

absl::StatusOr<bool> Equal(Runtime& runtime, const Value& a, const Value& b) {
  return EqualAt(runtime, a, b, 0);
}

absl::StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b) {
  return LessAt(runtime, Order::kLess, a, b, 0);
}

absl::StatusOr<bool> Ordered(Runtime& runtime, Order order, const Value& a, const Value& b) {
  return LessAt(runtime, order, a, b, 0);
}

absl::StatusOr<bool> Contains(Runtime& runtime, const Value& haystack, const Value& needle) {
  if (haystack.is_string()) {
    if (needle.is_undefined()) return UndefinedError(needle);
    if (!needle.is_string()) {
      return Failure("'in <string>' requires string as left operand, not ", TypeName(needle));
    }
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(haystack.text().size()));
    return FindText(haystack.text(), needle.text(), 0) != absl::string_view::npos;
  }
  if (haystack.is_dict() ||
      (haystack.kind() == Kind::kView && haystack.view().part == View::Part::kKeys)) {
    LLMCORE_RETURN_IF_ERROR(CheckHashable(runtime, needle));
    const Dict& dict = haystack.is_dict() ? haystack.dict() : *haystack.view().dict;
    return dict.Find(needle) != nullptr;
  }
  ItemSource source;
  if (!source.Open(haystack).ok()) {
    return Failure("argument of type '", TypeName(haystack), "' is not iterable");
  }
  for (Value item;;) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
    if (!more) return false;
    if (item.IsSame(needle) && item.kind() != Kind::kFloat) return true;
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, item, needle));
    if (equal) return true;
  }
}

absl::Status CheckHashable(Runtime& runtime, const Value& key) {
  if (key.is_string()) return runtime.SpendText(key.text().size());
  int left = kMaxKeyItems;
  LLMCORE_RETURN_IF_ERROR(CheckHashableItems(key, left));
  return runtime.Spend(static_cast<uint64_t>(kMaxKeyItems - left));
}

bool KeysEqual(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return a.text() == b.text();
  if (a.is_number() && b.is_number()) return CompareNumbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  if (a.is_none() || a.is_undefined()) return true;
  if (a.kind() == Kind::kTuple) {
    return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      KeysEqual);
  }
  return a.IsSame(b);
}

size_t HashKey(const Value& key) {
  switch (key.kind()) {
    case Kind::kString:
      return std::hash<std::string_view>()({key.text().data(), key.text().size()});
    case Kind::kBool:
    case Kind::kInt:
      return static_cast<size_t>(key.as_int()) * size_t{0x9E3779B97F4A7C15} >> 7;
    case Kind::kFloat: {
      // Equal to an int: hashes as that int.
      const double number = key.as_float();
      if (number == std::floor(number) && std::abs(number) < 9223372036854775808.0) {
        return HashKey(Value::Int(static_cast<int64_t>(number)));
      }
      return std::hash<double>()(number);
    }
    case Kind::kTuple: {
      size_t hash = key.items().size();
      for (const Value& item : key.items()) hash = hash * 1000003 ^ HashKey(item);
      return hash;
    }
    default:
      return static_cast<size_t>(key.kind());
  }
}

}  // namespace llmcore::core::chat
