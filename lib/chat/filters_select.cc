// Filters that apply filters, tests or attributes to each item.
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/chat/access.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/filter_keys.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

// In Python these filters are generators, whose errors come up when they are read. So an error
// ends the items, and is reported by whoever reads that far.
template <typename Function>
ValueOr Generate(Runtime& runtime, const Value& iterable, const Function& for_each) {
  std::vector<Value> kept;
  absl::Status error;
  if (IsTrue(iterable)) {
    ItemSource source;
    error = source.Open(iterable);
    for (Value item; error.ok();) {
      const absl::StatusOr<bool> more = source.Next(runtime, &item);
      if (!more.ok()) error = more.status();
      if (!more.ok() || !*more) break;
      error = for_each(item, &kept);
    }
  }
  if (absl::IsResourceExhausted(error)) return error;
  return runtime.heap().MakeIterator(kept, std::move(error));
}

// map(attribute='a.b', default=x) or map('filter', arguments...)
ValueOr Map(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (arguments.positional.empty()) {
    LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"attribute", "default"}));
    if (bound[0] == nullptr) return Failure("map requires a filter argument");
    return Generate(runtime, value, [&](const Value& item, std::vector<Value>* kept) {
      absl::StatusOr<Value> member = GetPath(runtime, item, *bound[0]);
      LLMCORE_RETURN_IF_ERROR(member.status());
      const bool use_default =
          member->is_undefined() && bound[1] != nullptr && !bound[1]->is_none();
      kept->push_back(use_default ? *bound[1] : *member);
      return absl::OkStatus();
    });
  }
  if (!arguments.positional[0].is_string()) return Failure("the filter's name must be a string");
  const absl::string_view name = arguments.positional[0].text();
  const NamedFilter* const filter = FindFilter(name);
  const Arguments rest{arguments.positional.subspan(1), arguments.named};
  return Generate(runtime, value, [&](const Value& item, std::vector<Value>* kept) {
    if (filter == nullptr) return Failure("No filter named '", name, "' found.");
    const ValueOr result = filter->function(runtime, item, rest);
    LLMCORE_RETURN_IF_ERROR(result.status());
    kept->push_back(*result);
    return absl::OkStatus();
  });
}

ValueOr Filtered(Runtime& runtime, const Value& value, const Arguments& arguments,
                 bool by_attribute, bool keep) {
  const size_t offset = by_attribute ? 1 : 0;
  if (arguments.positional.size() < offset) {
    return Failure("Missing parameter for attribute name");
  }
  const bool has_test = arguments.positional.size() > offset;
  absl::string_view name;
  const NamedTest* test = nullptr;
  Arguments rest{{}, arguments.named};
  if (has_test) {
    if (!arguments.positional[offset].is_string()) {
      return Failure("the test's name must be a string");
    }
    name = arguments.positional[offset].text();
    test = FindTest(name);
    rest.positional = arguments.positional.subspan(offset + 1);
  }
  return Generate(runtime, value, [&](const Value& item, std::vector<Value>* kept) {
    Value subject = item;
    if (by_attribute) {
      const ValueOr member = GetPath(runtime, item, arguments.positional[0]);
      LLMCORE_RETURN_IF_ERROR(member.status());
      subject = *member;
    }
    bool holds = IsTrue(subject);
    if (has_test) {
      if (test == nullptr) return Failure("No test named '", name, "' found.");
      const absl::StatusOr<bool> result = test->function(runtime, subject, rest);
      LLMCORE_RETURN_IF_ERROR(result.status());
      holds = *result;
    }
    if (holds == keep) kept->push_back(item);
    return absl::OkStatus();
  });
}

ValueOr Select(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Filtered(runtime, value, arguments, /*by_attribute=*/false, /*keep=*/true);
}

ValueOr Reject(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Filtered(runtime, value, arguments, /*by_attribute=*/false, /*keep=*/false);
}

ValueOr SelectAttribute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Filtered(runtime, value, arguments, /*by_attribute=*/true, /*keep=*/true);
}

ValueOr RejectAttribute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return Filtered(runtime, value, arguments, /*by_attribute=*/true, /*keep=*/false);
}

// groupby(attribute, default=None, case_sensitive=False): pairs of a key and its items.
ValueOr GroupBy(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound,
                           Bind(arguments, {"attribute", "default", "case_sensitive"}, 1));
  KeyOptions options{bound[0], bound[2] != nullptr && IsTrue(*bound[2]), false, bound[1]};
  LLMCORE_ASSIGN_OR_RETURN(std::vector<KeyedItem> items, KeyedItems(runtime, value, options));
  LLMCORE_ASSIGN_OR_RETURN(items, SortByKey(runtime, std::move(items), /*reverse=*/false));
  std::vector<Value> groups;
  for (size_t start = 0; start < items.size();) {
    std::vector<Value> group;
    size_t end = start;
    for (; end < items.size(); ++end) {
      LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, items[start].key, items[end].key));
      if (!equal) break;
      group.push_back(items[end].item);
    }
    if (group.empty()) return Failure("a key is not equal to itself");
    // The group shows the key as its first item has it.
    Value key = items[start].key;
    if (!options.case_sensitive) {
      LLMCORE_ASSIGN_OR_RETURN(key, GetPath(runtime, group[0], *bound[0]));
      if (key.is_undefined() && bound[1] != nullptr && !bound[1]->is_none()) key = *bound[1];
    }
    LLMCORE_ASSIGN_OR_RETURN(const Value list, runtime.heap().CopyList(group));
    groups.push_back(runtime.heap().Pair(key, list));
    start = end;
  }
  return runtime.heap().CopyList(groups);
}

ValueOr Attribute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"name"}, 1));
  if (!bound[0]->is_string()) return Failure("the name must be a string");
  if (value.is_dict()) {  // only attributes of the type, never items
    const NamedFilter* const method = FindMethod(value, bound[0]->text());
    if (method == nullptr) return runtime.heap().UndefinedMember(value, *bound[0]);
  }
  return GetAttribute(runtime, value, bound[0]->text());
}

}  // namespace

std::span<const NamedFilter> SelectionFilters() {
  static constexpr NamedFilter kFilters[] = {
      {"attr", Attribute},
      {"groupby", GroupBy},
      {"map", Map},
      {"reject", Reject},
      {"rejectattr", RejectAttribute},
      {"select", Select},
      {"selectattr", SelectAttribute},
  };
  return kFilters;
}

}  // namespace llmcore::core::chat
