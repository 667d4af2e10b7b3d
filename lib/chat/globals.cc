// Global functions.
#include <algorithm>
#include <limits>
#include <vector>

#include "lib/chat/access.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"
#include "lib/chat/strftime.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

constexpr int64_t kMaxRange = 100000;  // the limit of Jinja2's sandbox

ValueOr MakeRange(Runtime& runtime, const Value&, const Arguments& arguments) {
  if (!arguments.named.empty()) return Failure("takes no keyword arguments");
  const auto given = arguments.positional;
  if (given.empty() || given.size() > 3) return Failure("needs 1 to 3 arguments");
  for (const Value& value : given) {
    if (value.is_undefined()) return UndefinedError(value);
    if (!value.is_integral()) {
      return Failure("'", TypeName(value), "' object cannot be interpreted as an integer");
    }
  }
  Range range{0, given[0].as_int(), 1};
  if (given.size() > 1) range = {given[0].as_int(), given[1].as_int(), 1};
  if (given.size() > 2) range.step = given[2].as_int();
  if (range.step == 0) return Failure("arg 3 must not be zero");
  const int64_t size = range.size();
  if (size < 0 || size > kMaxRange) {
    return Failure("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMaxRange,
                   ").");
  }
  return Value::Of(runtime.heap().New(range));
}

// dict(mapping or pairs, name=value...)
absl::Status CollectEntries(Runtime& runtime, const Arguments& arguments,
                            std::vector<DictEntry>* entries) {
  if (arguments.positional.size() > 1) return Failure("takes at most 1 positional argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      entries->assign(source.dict().entries.begin(), source.dict().entries.end());
    } else {
      std::vector<Value> pairs;
      LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, source, &pairs));
      for (const Value& pair : pairs) {
        std::vector<Value> both;
        LLMCORE_RETURN_IF_ERROR(AppendAll(runtime, pair, &both));
        if (both.size() != 2) return Failure("an element has ", both.size(), " items, not 2");
        LLMCORE_RETURN_IF_ERROR(CheckHashable(runtime, both[0]));
        entries->push_back({both[0], both[1]});
      }
    }
  }
  for (const auto& [name, value] : arguments.named) {
    entries->push_back({Value::String(name), value});
  }
  return runtime.Spend(entries->size());
}

ValueOr MakeDict(Runtime& runtime, const Value&, const Arguments& arguments) {
  std::vector<DictEntry> entries;
  LLMCORE_RETURN_IF_ERROR(CollectEntries(runtime, arguments, &entries));
  return runtime.heap().MakeDict(entries);
}

ValueOr MakeNamespace(Runtime& runtime, const Value&, const Arguments& arguments) {
  std::vector<DictEntry> entries;
  LLMCORE_RETURN_IF_ERROR(CollectEntries(runtime, arguments, &entries));
  auto* const space = runtime.heap().Own<Namespace>();
  for (const DictEntry& entry : entries) {
    if (!entry.key.is_string()) return Unsupported("a namespace with other names than strings");
    LLMCORE_RETURN_IF_ERROR(runtime.Spend(1 + entries.size() / 8));
    runtime.heap().Count(sizeof(DictEntry));
    space->Set(entry.key.text(), entry.value);
  }
  return Value::Of(space);
}

ValueOr MakeCycler(Runtime& runtime, const Value&, const Arguments& arguments) {
  if (!arguments.named.empty()) return Failure("takes no keyword arguments");
  if (arguments.positional.empty()) return Failure("at least one item has to be provided");
  LLMCORE_ASSIGN_OR_RETURN(const Value items, runtime.heap().CopyTuple(arguments.positional));
  auto* const cycler = runtime.heap().Own<Cycler>();
  cycler->items = items.items();
  return Value::Of(cycler);
}

ValueOr MakeJoiner(Runtime& runtime, const Value&, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"sep"}));
  auto* const joiner = runtime.heap().Own<Joiner>();
  joiner->separator = bound[0] == nullptr ? Value::String(", ") : *bound[0];
  return Value::Of(joiner);
}

ValueOr RaiseException(Runtime& runtime, const Value&, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"message"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const Value message, ToStr(runtime, *bound[0]));
  return absl::InvalidArgumentError(message.text().substr(0, 4096));
}

ValueOr StrftimeNow(Runtime& runtime, const Value&, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"format"}, 1));
  if (!bound[0]->is_string()) return Failure("the format must be a string");
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(bound[0]->text().size()));
  LLMCORE_ASSIGN_OR_RETURN(const std::string text,
                           FormatTime(bound[0]->text(), runtime.now_unix_seconds()));
  return runtime.heap().CopyString(text);
}

ValueOr Lipsum(Runtime&, const Value&, const Arguments&) {
  return absl::UnimplementedError("the function lipsum is not supported");
}

template <const char* kName>
ValueOr RefusedFilter(Runtime&, const Value&, const Arguments&) {
  return Unsupported("the filter '", kName, "'");
}

constexpr char kFileSizeFormat[] = "filesizeformat";
constexpr char kPrettyPrint[] = "pprint";
constexpr char kRandom[] = "random";
constexpr char kStripTags[] = "striptags";
constexpr char kUrlize[] = "urlize";
constexpr char kWordWrap[] = "wordwrap";
constexpr char kXmlAttributes[] = "xmlattr";

}  // namespace

const NamedFilter* FindGlobal(absl::string_view name) {
  static constexpr NamedFilter kGlobals[] = {
      {"cycler", MakeCycler},       {"dict", MakeDict},
      {"joiner", MakeJoiner},       {"lipsum", Lipsum},
      {"namespace", MakeNamespace}, {"raise_exception", RaiseException},
      {"range", MakeRange},         {"strftime_now", StrftimeNow},
  };
  const auto* const found =
      std::find_if(std::begin(kGlobals), std::end(kGlobals),
                   [name](const NamedFilter& entry) { return entry.name == name; });
  return found == std::end(kGlobals) ? nullptr : found;
}

// Filters of Jinja2 that no chat template needs: known, so that they are refused and not unknown.
std::span<const NamedFilter> RefusedFilters() {
  static constexpr NamedFilter kFilters[] = {
      {kFileSizeFormat, RefusedFilter<kFileSizeFormat>},
      {kPrettyPrint, RefusedFilter<kPrettyPrint>},
      {kRandom, RefusedFilter<kRandom>},
      {kStripTags, RefusedFilter<kStripTags>},
      {kUrlize, RefusedFilter<kUrlize>},
      {kWordWrap, RefusedFilter<kWordWrap>},
      {kXmlAttributes, RefusedFilter<kXmlAttributes>},
  };
  return kFilters;
}

}  // namespace llmcore::core::chat
