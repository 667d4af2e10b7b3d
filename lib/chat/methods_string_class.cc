// Methods of str about case, classes of characters and padding.
#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "lib/base/utf8.h"
#include "lib/chat/builtins.h"
#include "lib/chat/text_methods.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

template <std::string (*kTransform)(absl::string_view)>
ValueOr Transform(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(self.text().size() / 8));
  return runtime.heap().CopyString(kTransform(self.text()), self.is_markup());
}

// Whether the text has characters and all are of the class.
template <bool (*kIsOfClass)(char32_t)>
ValueOr AllOf(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(self.text().size() / 8));
  const absl::string_view text = self.text();
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    if (!kIsOfClass(c.code_point)) return Value::Bool(false);
    i += c.length;
  }
  return Value::Bool(!text.empty());
}

template <bool kUpper>
ValueOr OnlyCase(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(self.text().size() / 8));
  return Value::Bool(HasOnlyCase(self.text(), kUpper));
}

// Words start in upper or title case and go on in lower case.
ValueOr IsTitle(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(self.text().size() / 8));
  const absl::string_view text = self.text();
  bool in_word = false;
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    const bool starts = IsUpperCharacter(c.code_point) || IsTitleCharacter(c.code_point);
    const bool goes_on = IsLowerCharacter(c.code_point);
    if ((starts && in_word) || (goes_on && !in_word)) return Value::Bool(false);
    in_word = starts || goes_on;
    any |= in_word;
    i += c.length;
  }
  return Value::Bool(any);
}

ValueOr IsAsciiMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(self.text().size()));
  return Value::Bool(std::all_of(self.text().begin(), self.text().end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

bool IsPrintableOrEmpty(char32_t c) {
  return IsPrintable(c);
}

ValueOr IsPrintableMethod(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (self.text().empty()) return Value::Bool(true);
  return AllOf<IsPrintableOrEmpty>(runtime, self, arguments);
}

ValueOr ZeroFill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"width"}, 1));
  if (!bound[0]->is_integral()) return Failure("width must be an integer");
  const int64_t missing = bound[0]->as_int() - static_cast<int64_t>(CountCharacters(self.text()));
  if (missing <= 0) return self;
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(static_cast<uint64_t>(missing)));
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(static_cast<uint64_t>(missing)));
  std::string out(self.text());
  const bool has_sign = absl::StartsWith(out, "-") || absl::StartsWith(out, "+");
  out.insert(has_sign ? 1 : 0, static_cast<size_t>(missing), '0');
  return runtime.heap().CopyString(out, self.is_markup());
}

enum class Align { kLeft, kRight, kCenter };

template <Align kAlign>
ValueOr Justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"width", "fillchar"}, 1));
  if (!bound[0]->is_integral()) return Failure("width must be an integer");
  absl::string_view fill = " ";
  if (bound[1] != nullptr) {
    if (!bound[1]->is_string() || CountCharacters(bound[1]->text()) != 1) {
      return Failure("The fill character must be exactly one character long");
    }
    fill = bound[1]->text();
  }
  if (kAlign == Align::kCenter) return CenterText(runtime, self, bound[0]->as_int(), fill);
  const int64_t missing = bound[0]->as_int() - static_cast<int64_t>(CountCharacters(self.text()));
  if (missing <= 0) return self;
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(static_cast<uint64_t>(missing) * 4));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(static_cast<uint64_t>(missing)));
  std::string padding;
  for (int64_t i = 0; i < missing; ++i) padding.append(fill.data(), fill.size());
  const std::string text(self.text());
  return runtime.heap().CopyString(kAlign == Align::kLeft ? text + padding : padding + text,
                                   self.is_markup());
}

// expandtabs(tabsize=8)
ValueOr ExpandTabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"tabsize"}));
  if (bound[0] != nullptr && !bound[0]->is_integral()) return Failure("needs an integer");
  const int64_t size = bound[0] == nullptr ? 8 : bound[0]->as_int();
  if (size > 1000) return Unsupported("so large a tab size");
  std::string out;
  int64_t column = 0;
  for (const char c : self.text()) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
      LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size()));
      continue;
    }
    out.push_back(c);
    if (c == '\n' || c == '\r') {
      column = 0;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      ++column;
    }
  }
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(out.size()));
  return runtime.heap().CopyString(out, self.is_markup());
}

ValueOr Refused(Runtime&, const Value&, const Arguments&) {
  return absl::UnimplementedError("this method of str is not supported");
}

}  // namespace

std::span<const NamedFilter> StringClassMethods() {
  static constexpr NamedFilter kMethods[] = {
      {"capitalize", Transform<Capitalize>},
      {"casefold", Refused},
      {"center", Justify<Align::kCenter>},
      {"encode", Refused},
      {"expandtabs", ExpandTabs},
      {"format_map", Refused},
      {"isalnum", AllOf<IsAlphanumeric>},
      {"isalpha", AllOf<IsAlphabetic>},
      {"isascii", IsAsciiMethod},
      {"isdecimal", AllOf<IsDecimal>},
      {"isdigit", AllOf<IsDigit>},
      {"isidentifier", Refused},
      {"islower", OnlyCase<false>},
      {"isnumeric", Refused},
      {"isprintable", IsPrintableMethod},
      {"isspace", AllOf<IsSpaceCharacter>},
      {"istitle", IsTitle},
      {"isupper", OnlyCase<true>},
      {"ljust", Justify<Align::kLeft>},
      {"lower", Transform<ToLower>},
      {"maketrans", Refused},
      {"rjust", Justify<Align::kRight>},
      {"swapcase", Transform<SwapCase>},
      {"title", Transform<ToTitle>},
      {"translate", Refused},
      {"upper", Transform<ToUpper>},
      {"zfill", ZeroFill},
  };
  return kMethods;
}

}  // namespace llmcore::core::chat
