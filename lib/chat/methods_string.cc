// Methods of str that cut, join and search.
#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "lib/base/utf8.h"
#include "lib/chat/access.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"
#include "lib/chat/string_format.h"
#include "lib/chat/text_methods.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

template <bool kLeft, bool kRight>
ValueOr Strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"chars"}));
  return StripText(runtime, self, bound[0], kLeft, kRight);
}

absl::StatusOr<absl::string_view> Text(const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return UndefinedError(value);
  return Failure("must be str, not ", TypeName(value));
}

absl::StatusOr<int64_t> Integer(const Value* value, int64_t fallback) {
  if (value == nullptr || value->is_none()) return fallback;
  if (value->is_integral()) return value->as_int();
  if (value->is_undefined()) return UndefinedError(*value);
  return Failure("'", TypeName(*value), "' object cannot be interpreted as an integer");
}

// Parts of split() and rsplit(), in the order of the text.
std::vector<absl::string_view> SplitAtSpace(absl::string_view text, int64_t limit) {
  std::vector<absl::string_view> parts;
  text = StripLeft(text);
  while (!text.empty()) {
    if (limit-- == 0) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      const DecodedCharacter c = DecodeUtf8(text, end);
      if (IsSpaceCharacter(c.code_point)) break;
      end += c.length;
    }
    parts.push_back(text.substr(0, end));
    text = StripLeft(text.substr(end));
  }
  return parts;
}

std::vector<absl::string_view> RightSplitAtSpace(absl::string_view text, int64_t limit) {
  std::vector<absl::string_view> parts;
  text = StripRight(text);
  while (!text.empty()) {
    if (limit-- == 0) {
      parts.push_back(text);
      break;
    }
    size_t start = text.size();
    while (start > 0) {
      size_t previous = start - 1;
      while (previous > 0 && (static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80) {
        --previous;
      }
      if (IsSpaceCharacter(DecodeUtf8(text, previous).code_point)) break;
      start = previous;
    }
    parts.push_back(text.substr(start));
    text = StripRight(text.substr(0, start));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

absl::StatusOr<std::vector<absl::string_view>> SplitAtText(Runtime& runtime, absl::string_view text,
                                                           absl::string_view separator,
                                                           int64_t limit) {
  std::vector<absl::string_view> parts;
  while (limit-- != 0) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(64 + separator.size()));
    const size_t found = FindText(text, separator, 0);
    if (found == absl::string_view::npos) break;
    parts.push_back(text.substr(0, found));
    text.remove_prefix(found + separator.size());
  }
  parts.push_back(text);
  return parts;
}

// The last occurrence; each step that compares much counts for much.
absl::StatusOr<size_t> FindLast(Runtime& runtime, absl::string_view text,
                                absl::string_view needle) {
  if (needle.size() > text.size()) return absl::string_view::npos;
  for (size_t i = text.size() - needle.size() + 1; i-- > 0;) {
    if (needle.empty() || text[i] == needle[0]) {
      LLMCORE_RETURN_IF_ERROR(runtime.SpendText(16 + needle.size()));
      if (absl::StartsWith(text.substr(i), needle)) return i;
    }
  }
  return absl::string_view::npos;
}

absl::StatusOr<std::vector<absl::string_view>> RightSplitAtText(Runtime& runtime,
                                                                absl::string_view text,
                                                                absl::string_view separator,
                                                                int64_t limit) {
  std::vector<absl::string_view> parts;
  while (limit-- != 0) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(64 + separator.size()));
    LLMCORE_ASSIGN_OR_RETURN(const size_t found, FindLast(runtime, text, separator));
    if (found == absl::string_view::npos) break;
    parts.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

ValueOr TextList(Runtime& runtime, const std::vector<absl::string_view>& parts, bool markup) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const absl::string_view part : parts) items.push_back(Value::String(part, markup));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(items.size()));
  return runtime.heap().CopyList(items);
}

template <bool kFromRight>
ValueOr Split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"sep", "maxsplit"}));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t limit, Integer(bound[1], -1));
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(self.text().size() * 2));
  std::vector<absl::string_view> parts;
  if (bound[0] == nullptr || bound[0]->is_none()) {
    parts = kFromRight ? RightSplitAtSpace(self.text(), limit) : SplitAtSpace(self.text(), limit);
  } else {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view separator, Text(*bound[0]));
    if (separator.empty()) return Failure("empty separator");
    LLMCORE_ASSIGN_OR_RETURN(parts, kFromRight
                                        ? RightSplitAtText(runtime, self.text(), separator, limit)
                                        : SplitAtText(runtime, self.text(), separator, limit));
  }
  return TextList(runtime, parts, self.is_markup());
}

template <bool kFromRight>
ValueOr Partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"sep"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view separator, Text(*bound[0]));
  if (separator.empty()) return Failure("empty separator");
  const absl::string_view text = self.text();
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(text.size() + separator.size()));
  size_t found = FindText(text, separator, 0);
  if (kFromRight) {
    LLMCORE_ASSIGN_OR_RETURN(found, FindLast(runtime, text, separator));
  }
  const bool markup = self.is_markup();
  Value parts[3] = {Value::String("", markup), Value::String("", markup),
                    Value::String("", markup)};
  if (found == absl::string_view::npos) {
    parts[kFromRight ? 2 : 0] = self;
  } else {
    parts[0] = Value::String(text.substr(0, found), markup);
    parts[1] = Value::String(separator, markup);
    parts[2] = Value::String(text.substr(found + separator.size()), markup);
  }
  return runtime.heap().CopyTuple(parts);
}

ValueOr SplitLinesMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"keepends"}));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(self.text().size() / 16));
  return TextList(runtime, SplitLines(self.text(), bound[0] != nullptr && IsTrue(*bound[0])),
                  self.is_markup());
}

// The part of `text` that the arguments start and end of find() and others choose, as in a slice;
// false when start is past the end.
struct Window {
  absl::string_view text;
  int64_t first;  // index of its first character
  bool valid;
};

absl::StatusOr<Window> ChooseWindow(Runtime& runtime, absl::string_view text, const Value* start,
                                    const Value* end) {
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(text.size()));
  if (start == nullptr && end == nullptr) return Window{text, 0, true};
  const auto size = static_cast<int64_t>(CountCharacters(text));
  LLMCORE_ASSIGN_OR_RETURN(int64_t first, Integer(start, 0));
  LLMCORE_ASSIGN_OR_RETURN(int64_t last, Integer(end, size));
  if (first < 0) first = std::max<int64_t>(first + size, 0);
  if (last < 0) last = std::max<int64_t>(last + size, 0);
  last = std::min(last, size);
  if (first > last) return Window{"", first, false};
  const size_t begin = CharacterOffset(text, static_cast<size_t>(first));
  const size_t stop = CharacterOffset(text, static_cast<size_t>(last));
  return Window{text.substr(begin, stop - begin), first, true};
}

template <bool kAtStart>
ValueOr HasAffix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"affix", "start", "end"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const Window window,
                           ChooseWindow(runtime, self.text(), bound[1], bound[2]));
  const auto matches = [&window](absl::string_view affix) {
    return window.valid &&
           (kAtStart ? absl::StartsWith(window.text, affix) : absl::EndsWith(window.text, affix));
  };
  if (bound[0]->is_string()) return Value::Bool(matches(bound[0]->text()));
  if (bound[0]->is_undefined()) return UndefinedError(*bound[0]);
  if (bound[0]->kind() != Kind::kTuple) {
    return Failure("first arg must be str or a tuple of str, not ", TypeName(*bound[0]));
  }
  for (const Value& affix : bound[0]->items()) {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Text(affix));
    if (matches(text)) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <bool kFromRight, bool kMustExist>
ValueOr Find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"sub", "start", "end"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view needle, Text(*bound[0]));
  LLMCORE_ASSIGN_OR_RETURN(const Window window,
                           ChooseWindow(runtime, self.text(), bound[1], bound[2]));
  size_t found = absl::string_view::npos;
  if (window.valid && kFromRight) {
    LLMCORE_ASSIGN_OR_RETURN(found, FindLast(runtime, window.text, needle));
  } else if (window.valid) {
    found = FindText(window.text, needle, 0);
  }
  if (found != absl::string_view::npos) {
    return Value::Int(window.first +
                      static_cast<int64_t>(CountCharacters(window.text.substr(0, found))));
  }
  if (kMustExist) return Failure("substring not found");
  return Value::Int(-1);
}

ValueOr Count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"sub", "start", "end"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view needle, Text(*bound[0]));
  LLMCORE_ASSIGN_OR_RETURN(const Window window,
                           ChooseWindow(runtime, self.text(), bound[1], bound[2]));
  if (!window.valid) return Value::Int(0);
  if (needle.empty()) return Value::Int(static_cast<int64_t>(CountCharacters(window.text)) + 1);
  int64_t count = 0;
  for (size_t at = 0;; ++count) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(64 + needle.size()));
    at = FindText(window.text, needle, at);
    if (at == absl::string_view::npos) return Value::Int(count);
    at += needle.size();
  }
}

ValueOr ReplaceMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"old", "new", "count"}, 2));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view from, Text(*bound[0]));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view to, Text(*bound[1]));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t count, Integer(bound[2], -1));
  if (self.is_markup()) return Unsupported("replace() on text marked safe");
  return ReplaceText(runtime, self.text(), from, to, count);
}

ValueOr JoinMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"iterable"}, 1));
  if (self.is_markup()) return Unsupported("join() on text marked safe");
  ItemSource source;
  LLMCORE_RETURN_IF_ERROR(source.Open(*bound[0]));
  std::string out;
  size_t index = 0;
  for (Value item;; ++index) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime, &item));
    if (!more) return runtime.heap().CopyString(out);
    if (!item.is_string()) {
      return Failure("sequence item ", index, ": expected str instance, ", TypeName(item),
                     " found");
    }
    if (index != 0) out.append(self.text().data(), self.text().size());
    out.append(item.text().data(), item.text().size());
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(self.text().size() + item.text().size()));
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size()));
  }
}

template <bool kPrefix>
ValueOr RemoveAffix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"affix"}, 1));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view affix, Text(*bound[0]));
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(affix.size()));
  absl::string_view text = self.text();
  if (kPrefix) {
    absl::ConsumePrefix(&text, affix);
  } else {
    absl::ConsumeSuffix(&text, affix);
  }
  return Value::String(text, self.is_markup());
}

ValueOr FormatMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (self.is_markup()) return Unsupported("format() on text marked safe");
  return FormatBraces(runtime, self.text(), arguments);
}

}  // namespace

std::span<const NamedFilter> StringMethods() {
  static constexpr NamedFilter kMethods[] = {
      {"count", Count},
      {"endswith", HasAffix<false>},
      {"find", Find<false, false>},
      {"format", FormatMethod},
      {"index", Find<false, true>},
      {"join", JoinMethod},
      {"lstrip", Strip<true, false>},
      {"partition", Partition<false>},
      {"removeprefix", RemoveAffix<true>},
      {"removesuffix", RemoveAffix<false>},
      {"replace", ReplaceMethod},
      {"rfind", Find<true, false>},
      {"rindex", Find<true, true>},
      {"rpartition", Partition<true>},
      {"rsplit", Split<true>},
      {"rstrip", Strip<false, true>},
      {"split", Split<false>},
      {"splitlines", SplitLinesMethod},
      {"startswith", HasAffix<true>},
      {"strip", Strip<true, true>},
  };
  return kMethods;
}

}  // namespace llmcore::core::chat
