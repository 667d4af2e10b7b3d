// Filters on text.
#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/chat/access.h"
#include "lib/chat/arithmetic.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"
#include "lib/chat/string_format.h"
#include "lib/chat/text_methods.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

template <std::string (*kTransform)(absl::string_view)>
ValueOr Transform(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(text.text().size() / 8));
  return runtime.heap().CopyString(kTransform(text.text()), text.is_markup());
}

// Jinja2's own idea of a title: words part at space, hyphens and opening brackets.
std::string TitleWords(absl::string_view text) {
  std::string out;
  size_t start = 0;
  const auto flush = [&](size_t end) {
    if (end == start) return;
    const size_t first = CharacterLength(text, start);
    absl::StrAppend(&out, ToUpper(text.substr(start, first)),
                    ToLower(text.substr(start + first, end - start - first)));
  };
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    const char32_t code = c.code_point;
    if (IsSpaceCharacter(code) || code == '-' || code == '(' || code == '{' || code == '[' ||
        code == '<') {
      flush(i);
      out.append(text.data() + i, c.length);
      start = i + c.length;
    }
    i += c.length;
  }
  flush(text.size());
  return out;
}

ValueOr Trim(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"chars"}));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  return StripText(runtime, text, bound[0], /*left=*/true, /*right=*/true);
}

ValueOr Replace(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"old", "new", "count"}, 2));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  LLMCORE_ASSIGN_OR_RETURN(const Value from, ToStr(runtime, *bound[0]));
  LLMCORE_ASSIGN_OR_RETURN(const Value to, ToStr(runtime, *bound[1]));
  int64_t count = -1;
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    if (!bound[2]->is_integral()) return Failure("count must be an integer");
    count = bound[2]->as_int();
  }
  // With autoescaping off the filter works on plain text, whatever was marked safe.
  return ReplaceText(runtime, text.text(), from.text(), to.text(), count);
}

ValueOr String(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return ToStr(runtime, value);
}

ValueOr Safe(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  return Value::String(text.text(), /*markup=*/true);
}

ValueOr Escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  if (value.is_string() && value.is_markup()) return value;
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  return runtime.heap().CopyString(EscapeHtml(text.text()), /*markup=*/true);
}

ValueOr ForceEscape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  return Escape(runtime, Value::String(text.text()), arguments);
}

ValueOr Center(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"width"}));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  if (bound[0] != nullptr && !bound[0]->is_integral()) return Failure("width must be an integer");
  return CenterText(runtime, text, bound[0] == nullptr ? 80 : bound[0]->as_int(), " ");
}

ValueOr Format(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const Value format, ToStr(runtime, value));
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    return Failure("can't handle positional and keyword arguments at the same time");
  }
  if (arguments.named.empty()) {
    return FormatPercent(runtime, format, Value::Tuple(arguments.positional));
  }
  std::vector<DictEntry> entries;
  for (const auto& [name, argument] : arguments.named) {
    entries.push_back({Value::String(name), argument});
  }
  LLMCORE_ASSIGN_OR_RETURN(const Value dict, runtime.heap().MakeDict(entries));
  return FormatPercent(runtime, format, dict);
}

// indent(width=4, first=False, blank=False)
ValueOr Indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"width", "first", "blank"}));
  if (value.is_undefined()) return UndefinedError(value);
  if (!value.is_string()) {
    return Failure("unsupported operand type(s) for +=: '", TypeName(value), "' and 'str'");
  }
  std::string indention = "    ";
  if (bound[0] != nullptr && bound[0]->is_string()) {
    indention = std::string(bound[0]->text());
  } else if (bound[0] != nullptr) {
    if (!bound[0]->is_integral()) return Failure("width must be an integer or a string");
    const auto width = static_cast<uint64_t>(std::max<int64_t>(bound[0]->as_int(), 0));
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(width));
    indention = std::string(width, ' ');
  }
  const bool first = bound[1] != nullptr && IsTrue(*bound[1]);
  const bool blank = bound[2] != nullptr && IsTrue(*bound[2]);
  const std::string text = absl::StrCat(value.text(), "\n");
  std::string out = first ? indention : "";
  bool is_first_line = true;
  for (const absl::string_view line : SplitLines(text, /*keep_ends=*/false)) {
    if (!is_first_line) {
      out.push_back('\n');
      if (blank || !line.empty()) out.append(indention);
    }
    is_first_line = false;
    absl::StrAppend(&out, line);
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size()));
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(64 + line.size() + indention.size()));
  }
  return runtime.heap().CopyString(out, value.is_markup());
}

// truncate(length=255, killwords=False, end='...', leeway=5)
ValueOr Truncate(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound,
                           Bind(arguments, {"length", "killwords", "end", "leeway"}));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t size, Length(runtime, value));
  const auto integer = [](const Value* given, int64_t fallback) {
    return given == nullptr || !given->is_integral() ? fallback : given->as_int();
  };
  const int64_t length = integer(bound[0], 255);
  const int64_t leeway = integer(bound[3], 5);
  const absl::string_view end =
      bound[2] != nullptr && bound[2]->is_string() ? bound[2]->text() : "...";
  const auto end_size = static_cast<int64_t>(CountCharacters(end));
  if (length < end_size) return Failure("expected length >= ", end_size, ", got ", length);
  if (leeway < 0) return Failure("expected leeway >= 0, got ", leeway);
  if (size - leeway <= length) return value;
  if (!value.is_string()) return Unsupported("cutting a ", TypeName(value));
  absl::string_view kept =
      value.text().substr(0, CharacterOffset(value.text(), static_cast<size_t>(length - end_size)));
  if (bound[1] == nullptr || !IsTrue(*bound[1])) {
    kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  }
  return runtime.heap().CopyString(absl::StrCat(kept, end), value.is_markup());
}

ValueOr WordCount(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(text.text().size() / 8));
  int64_t words = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.text().size();) {
    const DecodedCharacter c = DecodeUtf8(text.text(), i);
    const bool is_word = IsWordCharacter(c.code_point);
    if (is_word && !in_word) ++words;
    in_word = is_word;
    i += c.length;
  }
  return Value::Int(words);
}

absl::StatusOr<std::string> UrlQuote(Runtime& runtime, const Value& value, bool for_query) {
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(text.text().size() / 8));
  std::string out;
  for (const char c : text.text()) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '_' || c == '.' || c == '-' || c == '~' ||
        (c == '/' && !for_query)) {
      out.push_back(c);
    } else if (c == ' ' && for_query) {
      out.push_back('+');
    } else {
      constexpr absl::string_view kHex = "0123456789ABCDEF";
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

ValueOr UrlEncode(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  std::string out;
  if (value.is_dict() || value.is_sequence()) {
    std::vector<Value> pairs;
    if (value.is_dict()) {
      for (const DictEntry& entry : value.dict().entries) {
        pairs.push_back(runtime.heap().Pair(entry.key, entry.value));
      }
    } else {
      pairs.assign(value.items().begin(), value.items().end());
    }
    for (const Value& pair : pairs) {
      if (!pair.is_sequence() || pair.items().size() != 2) return Failure("needs pairs");
      LLMCORE_ASSIGN_OR_RETURN(const std::string key, UrlQuote(runtime, pair.items()[0], true));
      LLMCORE_ASSIGN_OR_RETURN(const std::string item, UrlQuote(runtime, pair.items()[1], true));
      absl::StrAppend(&out, out.empty() ? "" : "&", key, "=", item);
    }
  } else {
    LLMCORE_ASSIGN_OR_RETURN(out, UrlQuote(runtime, value, false));
  }
  return runtime.heap().CopyString(out);
}

}  // namespace

std::span<const NamedFilter> TextFilters() {
  static constexpr NamedFilter kFilters[] = {
      {"capitalize", Transform<Capitalize>},
      {"center", Center},
      {"e", Escape},
      {"escape", Escape},
      {"forceescape", ForceEscape},
      {"format", Format},
      {"indent", Indent},
      {"lower", Transform<ToLower>},
      {"replace", Replace},
      {"safe", Safe},
      {"string", String},
      {"title", Transform<TitleWords>},
      {"trim", Trim},
      {"truncate", Truncate},
      {"upper", Transform<ToUpper>},
      {"urlencode", UrlEncode},
      {"wordcount", WordCount},
  };
  return kFilters;
}

}  // namespace llmcore::core::chat
