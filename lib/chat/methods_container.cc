// Methods of dict, list, tuple and float, of cycler, and which of them the sandbox refuses.
#include <algorithm>
#include <cmath>

#include "lib/chat/access.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

ValueOr DictGet(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"key", "default"}, 1));
  if (!arguments.named.empty()) return Failure("takes no keyword arguments");
  LLMCORE_RETURN_IF_ERROR(CheckHashable(runtime, *bound[0]));
  if (const Value* value = self.dict().Find(*bound[0])) return *value;
  return bound[1] == nullptr ? Value::None() : *bound[1];
}

template <View::Part kPart>
ValueOr DictView(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return Value::Of(runtime.heap().New(View{kPart, &self.dict()}));
}

ValueOr DictCopy(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return runtime.heap().MakeDict(self.dict().entries);
}

ValueOr ItemsCopy(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return runtime.heap().CopyList(self.items());
}

ValueOr ItemsCount(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"value"}, 1));
  int64_t count = 0;
  for (const Value& item : self.items()) {
    LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, item, *bound[0]));
    count += equal ? 1 : 0;
  }
  return Value::Int(count);
}

ValueOr ItemsIndex(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"value"}, 1));
  for (size_t i = 0; i < self.items().size(); ++i) {
    LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
    LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, self.items()[i], *bound[0]));
    if (equal) return Value::Int(static_cast<int64_t>(i));
  }
  return Failure("the value is not in the ", TypeName(self));
}

ValueOr FloatIsInteger(Runtime&, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return Value::Bool(std::isfinite(self.as_float()) &&
                     std::floor(self.as_float()) == self.as_float());
}

ValueOr CyclerNext(Runtime&, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  Cycler& cycler = self.cycler();
  const Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}

ValueOr CyclerReset(Runtime&, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  self.cycler().position = 0;
  return Value::None();
}

constexpr NamedFilter kDictMethods[] = {
    {"copy", DictCopy},
    {"get", DictGet},
    {"items", DictView<View::Part::kItems>},
    {"keys", DictView<View::Part::kKeys>},
    {"values", DictView<View::Part::kValues>},
};
constexpr NamedFilter kListMethods[] = {
    {"copy", ItemsCopy}, {"count", ItemsCount}, {"index", ItemsIndex}};
constexpr NamedFilter kTupleMethods[] = {{"count", ItemsCount}, {"index", ItemsIndex}};
constexpr NamedFilter kFloatMethods[] = {{"is_integer", FloatIsInteger}};
constexpr NamedFilter kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};

const NamedFilter* FindIn(std::span<const NamedFilter> table, absl::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const NamedFilter& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

const NamedFilter* FindMethod(const Value& object, absl::string_view name) {
  switch (object.kind()) {
    case Kind::kString: {
      const NamedFilter* const method = FindIn(StringMethods(), name);
      return method != nullptr ? method : FindIn(StringClassMethods(), name);
    }
    case Kind::kDict:
      return FindIn(kDictMethods, name);
    case Kind::kList:
      return FindIn(kListMethods, name);
    case Kind::kTuple:
      return FindIn(kTupleMethods, name);
    case Kind::kFloat:
      return FindIn(kFloatMethods, name);
    case Kind::kCycler:
      return FindIn(kCyclerMethods, name);
    default:
      return nullptr;
  }
}

bool IsMutatingMethod(const Value& object, absl::string_view name) {
  constexpr absl::string_view kOfDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr absl::string_view kOfList[] = {"append", "clear",  "extend",  "insert",
                                           "pop",    "remove", "reverse", "sort"};
  const auto contains = [name](std::span<const absl::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is_dict()) return contains(kOfDict);
  return object.kind() == Kind::kList && contains(kOfList);
}

const NamedFilter* FindFilter(absl::string_view name) {
  for (const auto table : {SequenceFilters(), TextFilters(), OutputFilters(), SelectionFilters(),
                           NumberFilters(), RefusedFilters()}) {
    if (const NamedFilter* filter = FindIn(table, name)) return filter;
  }
  return nullptr;
}

}  // namespace llmcore::core::chat
