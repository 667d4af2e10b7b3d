// Filters on numbers, sequences and mappings.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/chat/access.h"
#include "lib/chat/arithmetic.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/filter_keys.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

bool Flag(const Value* given) {
  return given != nullptr && IsTrue(*given);
}

ValueOr LengthFilter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t length, Length(runtime, value));
  return Value::Int(length);
}

ValueOr Default(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"default_value", "boolean"}));
  if (!value.is_undefined() && !(Flag(bound[1]) && !IsTrue(value))) return value;
  return bound[0] == nullptr ? Value::String("") : *bound[0];
}

ValueOr First(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  ItemSource source;
  LLMCORE_RETURN_IF_ERROR(source.Open(value));
  Value item;
  LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
  if (!more) return runtime.heap().UndefinedHint("No first item, sequence was empty.");
  return item;
}

ValueOr Last(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  if (value.kind() == Kind::kIterator) {
    return Failure("'", TypeName(value), "' object is not reversible");
  }
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, value, &items));
  if (items.empty()) return runtime.heap().UndefinedHint("No last item, sequence was empty.");
  return items.back();
}

ValueOr ListFilter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, value, &items));
  return runtime.heap().CopyList(items);
}

ValueOr Items(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  std::vector<Value> pairs;
  absl::Status error;
  if (value.is_dict()) {
    for (const DictEntry& entry : value.dict().entries) {
      pairs.push_back(runtime.heap().Pair(entry.key, entry.value));
    }
  } else if (!value.is_undefined()) {
    error = Failure("filter 'items': Can only get item pairs from a mapping.");
  }
  return runtime.heap().MakeIterator(pairs, std::move(error));
}

ValueOr Reverse(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  if (value.is_string()) {
    return GetSlice(runtime, value, Value(), Value(), Value::Int(-1));
  }
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, value, &items));
  std::reverse(items.begin(), items.end());
  if (value.kind() == Kind::kIterator) return runtime.heap().CopyList(items);
  return runtime.heap().MakeIterator(
      items, absl::OkStatus(), value.kind() == Kind::kList ? "list_reverseiterator" : "reversed");
}

ValueOr Join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"d", "attribute"}));
  std::string separator;
  if (bound[0] != nullptr) LLMCORE_RETURN_IF_ERROR(AppendStr(runtime, *bound[0], &separator));
  ItemSource source;
  LLMCORE_RETURN_IF_ERROR(source.Open(value));
  std::string out;
  bool is_first = true;
  for (Value item;; is_first = false) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
    if (!more) break;
    if (bound[1] != nullptr && !bound[1]->is_none()) {
      LLMCORE_ASSIGN_OR_RETURN(item, GetPath(runtime, item, *bound[1]));
    }
    if (!is_first) out.append(separator);
    LLMCORE_RETURN_IF_ERROR(AppendStr(runtime, item, &out));
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(separator.size()));
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size()));
  }
  return runtime.heap().CopyString(out);
}

ValueOr Sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound,
                           Bind(arguments, {"reverse", "case_sensitive", "attribute"}));
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<KeyedItem> items,
                           KeyedItems(runtime, value, {bound[2], Flag(bound[1]), true}));
  return SortedList(runtime, items, Flag(bound[0]));
}

ValueOr DictSort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"case_sensitive", "by", "reverse"}));
  const absl::string_view by =
      bound[1] != nullptr && bound[1]->is_string() ? bound[1]->text() : "key";
  if (by != "key" && by != "value") {
    return Failure("You can only sort by either \"key\" or \"value\"");
  }
  if (value.is_undefined()) return UndefinedError(value);
  if (!value.is_dict()) {
    return Failure("'", TypeName(value), "' object has no attribute 'items'");
  }
  std::vector<KeyedItem> items;
  for (const DictEntry& entry : value.dict().entries) {
    Value key = by == "key" ? entry.key : entry.value;
    if (!Flag(bound[0])) {
      LLMCORE_ASSIGN_OR_RETURN(key, IgnoreCase(runtime, key));
    }
    items.push_back({key, runtime.heap().Pair(entry.key, entry.value)});
  }
  return SortedList(runtime, items, Flag(bound[2]));
}

ValueOr Unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"case_sensitive", "attribute"}));
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<KeyedItem> items,
                           KeyedItems(runtime, value, {bound[1], Flag(bound[0]), false}));
  // A dict keeps the first of equal keys and finds the others quickly.
  std::vector<DictEntry> positions;
  for (const KeyedItem& item : items) {
    LLMCORE_RETURN_IF_ERROR(CheckHashable(runtime, item.key));
    positions.push_back({item.key, Value()});
  }
  LLMCORE_ASSIGN_OR_RETURN(const Value keys, runtime.heap().MakeDict(positions));
  std::vector<Value> kept;
  size_t next = 0;  // distinct keys are in the order in which they were met first
  const auto distinct = keys.dict().entries;
  for (const KeyedItem& item : items) {
    if (next < distinct.size() && KeysEqual(distinct[next].key, item.key)) {
      kept.push_back(item.item);
      ++next;
    }
  }
  return runtime.heap().MakeIterator(kept, absl::OkStatus());
}

ValueOr Extreme(Runtime& runtime, const Value& value, const Arguments& arguments, bool largest) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"case_sensitive", "attribute"}));
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<KeyedItem> items,
                           KeyedItems(runtime, value, {bound[1], Flag(bound[0]), false}));
  if (items.empty()) {
    return runtime.heap().UndefinedHint("No aggregated item, sequence was empty.");
  }
  const KeyedItem* best = &items[0];
  for (const KeyedItem& item : items) {
    LLMCORE_ASSIGN_OR_RETURN(const bool better, largest ? Less(runtime, best->key, item.key)
                                                        : Less(runtime, item.key, best->key));
    if (better) best = &item;
  }
  return best->item;
}

ValueOr Min(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Extreme(runtime, value, arguments, /*largest=*/false);
}

ValueOr Max(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Extreme(runtime, value, arguments, /*largest=*/true);
}

ValueOr Sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"attribute", "start"}));
  Value total = bound[1] == nullptr ? Value::Int(0) : *bound[1];
  if (total.is_string()) return Failure("sum() can't sum strings");
  ItemSource source;
  LLMCORE_RETURN_IF_ERROR(source.Open(value));
  for (Value item;;) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
    if (!more) return total;
    if (bound[0] != nullptr && !bound[0]->is_none()) {
      LLMCORE_ASSIGN_OR_RETURN(item, GetPath(runtime, item, *bound[0]));
    }
    LLMCORE_ASSIGN_OR_RETURN(total, Add(runtime, total, item));
  }
}

absl::StatusOr<int64_t> PositiveCount(const Value* given) {
  if (!given->is_integral()) return Failure("needs an integer");
  if (given->as_int() <= 0) return Failure("needs a positive number");
  return given->as_int();
}

ValueOr Batch(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"linecount", "fill_with"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t size, PositiveCount(bound[0]));
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, value, &items));
  std::vector<Value> batches;
  for (size_t start = 0; start < items.size(); start += static_cast<size_t>(size)) {
    const size_t count = std::min(items.size() - start, static_cast<size_t>(size));
    std::vector<Value> batch(items.begin() + static_cast<ptrdiff_t>(start),
                             items.begin() + static_cast<ptrdiff_t>(start + count));
    if (bound[1] != nullptr && !bound[1]->is_none()) {
      LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(static_cast<uint64_t>(size)));
      LLMCORE_RETURN_IF_ERROR(runtime.Spend(static_cast<uint64_t>(size)));
      batch.resize(static_cast<size_t>(size), *bound[1]);
    }
    LLMCORE_ASSIGN_OR_RETURN(const Value list, runtime.heap().CopyList(batch));
    batches.push_back(list);
  }
  return runtime.heap().MakeIterator(batches, absl::OkStatus());
}

ValueOr Slice(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"slices", "fill_with"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t count, PositiveCount(bound[0]));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(static_cast<uint64_t>(count)));
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, value, &items));
  const auto slices = static_cast<size_t>(count);
  const size_t with_extra = items.size() % slices;
  std::vector<Value> lists;
  size_t start = 0;
  for (size_t i = 0; i < slices; ++i) {
    const size_t size = items.size() / slices + (i < with_extra ? 1 : 0);
    std::vector<Value> slice(items.begin() + static_cast<ptrdiff_t>(start),
                             items.begin() + static_cast<ptrdiff_t>(start + size));
    start += size;
    if (bound[1] != nullptr && !bound[1]->is_none() && i >= with_extra) slice.push_back(*bound[1]);
    LLMCORE_ASSIGN_OR_RETURN(const Value list, runtime.heap().CopyList(slice));
    lists.push_back(list);
  }
  return runtime.heap().MakeIterator(lists, absl::OkStatus());
}

}  // namespace

std::span<const NamedFilter> SequenceFilters() {
  static constexpr NamedFilter kFilters[] = {
      {"batch", Batch},       {"count", LengthFilter},  {"d", Default},       {"default", Default},
      {"dictsort", DictSort}, {"first", First},         {"items", Items},     {"join", Join},
      {"last", Last},         {"length", LengthFilter}, {"list", ListFilter}, {"max", Max},
      {"min", Min},           {"reverse", Reverse},     {"slice", Slice},     {"sort", Sort},
      {"sum", Sum},           {"unique", Unique},
  };
  return kFilters;
}

}  // namespace llmcore::core::chat
