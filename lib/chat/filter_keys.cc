#include "lib/chat/filter_keys.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "lib/chat/access.h"
#include "lib/chat/compare.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

absl::StatusOr<Value> KeyOf(Runtime& runtime, const Value& item, const Value& path,
                            const KeyOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(Value key, GetPath(runtime, item, path));
  if (options.fallback != nullptr && !options.fallback->is_none() && key.is_undefined()) {
    key = *options.fallback;
  }
  return options.case_sensitive ? absl::StatusOr<Value>(key) : IgnoreCase(runtime, key);
}

}  // namespace

absl::StatusOr<Value> IgnoreCase(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(value.text().size() / 8));
  return runtime.heap().CopyString(ToLower(value.text()));
}

absl::StatusOr<std::vector<KeyedItem>> KeyedItems(Runtime& runtime, const Value& iterable,
                                                  const KeyOptions& options) {
  std::vector<Value> items;
  LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, iterable, &items));
  const bool by_item = options.attribute == nullptr || options.attribute->is_none();
  std::vector<Value> paths;
  if (!by_item && options.several && options.attribute->is_string()) {
    for (const absl::string_view path : absl::StrSplit(options.attribute->text(), ',')) {
      paths.push_back(Value::String(path));
    }
  } else if (!by_item) {
    paths.push_back(*options.attribute);
  }
  std::vector<KeyedItem> keyed;
  keyed.reserve(items.size());
  std::vector<Value> parts;
  for (const Value& item : items) {
    parts.clear();
    if (by_item) {
      LLMCORE_ASSIGN_OR_RETURN(const Value part, options.case_sensitive
                                                     ? absl::StatusOr<Value>(item)
                                                     : IgnoreCase(runtime, item));
      parts.push_back(part);
    }
    for (const Value& path : paths) {
      LLMCORE_ASSIGN_OR_RETURN(const Value part, KeyOf(runtime, item, path, options));
      parts.push_back(part);
    }
    Value key = parts[0];
    if (options.several) {
      LLMCORE_ASSIGN_OR_RETURN(key, runtime.heap().CopyList(parts));
    }
    keyed.push_back({key, item});
  }
  return keyed;
}

absl::StatusOr<std::vector<KeyedItem>> SortByKey(Runtime& runtime, std::vector<KeyedItem> items,
                                                 bool reverse) {
  // As in Python, reversing keeps equal items in their order.
  absl::Status failed;
  const auto before = [&](const KeyedItem& a, const KeyedItem& b) {
    if (!failed.ok()) return false;
    const absl::StatusOr<bool> less =
        reverse ? Less(runtime, b.key, a.key) : Less(runtime, a.key, b.key);
    if (!less.ok()) failed = less.status();
    return less.ok() && *less;
  };
  std::stable_sort(items.begin(), items.end(), before);
  LLMCORE_RETURN_IF_ERROR(failed);
  return items;
}

absl::StatusOr<Value> SortedList(Runtime& runtime, std::vector<KeyedItem> items, bool reverse) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<KeyedItem> sorted,
                           SortByKey(runtime, std::move(items), reverse));
  std::vector<Value> list;
  list.reserve(sorted.size());
  for (const KeyedItem& item : sorted) list.push_back(item.item);
  return runtime.heap().CopyList(list);
}

}  // namespace llmcore::core::chat
