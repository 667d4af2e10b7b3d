#include "lib/chat/string_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/chat/access.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

constexpr int64_t kMaxWidth = 10000;  // of a padded field, and digits after the point

bool IsDigitByte(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c));
}

// How one value is to be laid out, whichever notation said so.
struct Layout {
  absl::string_view fill = " ";  // one character
  char align = 0;                // '<', '>', '^', '=', or 0: as the type likes it
  char sign = '-';
  bool alternate = false;
  bool thousands = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = 0;
};

absl::StatusOr<int64_t> TakeNumber(absl::string_view* text) {
  int64_t number = 0;
  while (!text->empty() && IsDigitByte(text->front())) {
    number = number * 10 + (text->front() - '0');
    if (number > kMaxWidth) return Failure("a width or precision is larger than ", kMaxWidth);
    text->remove_prefix(1);
  }
  return number;
}

// `text` with its sign or "0x" as a prefix that "=" padding keeps in front.
std::string Pad(const Layout& layout, absl::string_view prefix, absl::string_view text,
                char default_align) {
  const auto size = static_cast<int64_t>(CountCharacters(prefix) + CountCharacters(text));
  const int64_t missing = std::max<int64_t>(layout.width - size, 0);
  const char align = layout.align == 0 ? default_align : layout.align;
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string before;
  std::string after;
  for (int64_t i = 0; i < missing; ++i) absl::StrAppend(i < left ? &before : &after, layout.fill);
  return align == '=' ? absl::StrCat(prefix, before, text)
                      : absl::StrCat(before, prefix, text, after);
}

std::string GroupThousands(absl::string_view digits) {
  const size_t point = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < point; ++i) {
    if (i != 0 && (point - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return absl::StrCat(out, digits.substr(point));
}

absl::string_view SignOf(const Layout& layout, bool negative) {
  if (negative) return "-";
  return layout.sign == '+' ? "+" : layout.sign == ' ' ? " " : "";
}

absl::StatusOr<std::string> FormatInteger(const Layout& layout, int64_t value) {
  int base = 10;
  absl::string_view marker;
  if (layout.type == 'x' || layout.type == 'X') base = 16, marker = "0x";
  if (layout.type == 'o') base = 8, marker = "0o";
  if (layout.type == 'b') base = 2, marker = "0b";
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::array<char, 70> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, base).ptr;
  std::string digits(buffer.data(), end);
  std::string prefix(SignOf(layout, value < 0));
  if (layout.alternate) absl::StrAppend(&prefix, marker);
  if (layout.type == 'X') {
    absl::AsciiStrToUpper(&digits);
    absl::AsciiStrToUpper(&prefix);
  }
  if (layout.thousands) {
    if (base != 10 || layout.fill == "0") return Unsupported("such a ',' in a format");
    digits = GroupThousands(digits);
  }
  return Pad(layout, prefix, digits, '>');
}

absl::StatusOr<std::string> FormatFloat(const Layout& layout, double value) {
  if (layout.alternate) return Unsupported("'#' with a float in a format");
  const char type = absl::ascii_tolower(static_cast<unsigned char>(layout.type));
  std::string digits;
  const double magnitude = std::abs(value);
  if (!std::isfinite(value)) {
    digits.assign(std::isnan(value) ? "nan" : "inf", 3);
  } else {
    const auto precision = static_cast<int>(layout.precision.value_or(6));
    std::string buffer(static_cast<size_t>(precision) + 350, '\0');
    char* const begin = buffer.data();
    char* const limit = begin + buffer.size();
    const double shown = type == '%' ? magnitude * 100 : magnitude;
    std::to_chars_result result{};
    if (type == 'e') {
      result = std::to_chars(begin, limit, shown, std::chars_format::scientific, precision);
    } else if (type == 'g') {
      result =
          std::to_chars(begin, limit, shown, std::chars_format::general, std::max(precision, 1));
    } else {
      result = std::to_chars(begin, limit, shown, std::chars_format::fixed, precision);
    }
    if (result.ec != std::errc()) return Unsupported("so long a number in a format");
    digits.assign(begin, result.ptr);
    if (type == '%') digits.push_back('%');
  }
  if (layout.type == 'F' || layout.type == 'E' || layout.type == 'G') {
    absl::AsciiStrToUpper(&digits);
  }
  if (layout.thousands) {
    if (layout.fill == "0") return Unsupported("such a ',' in a format");
    digits = GroupThousands(digits);
  }
  return Pad(layout, SignOf(layout, std::signbit(value)), digits, '>');
}

std::string FormatText(const Layout& layout, absl::string_view text) {
  if (layout.precision.has_value()) {
    text = text.substr(0, CharacterOffset(text, static_cast<size_t>(*layout.precision)));
  }
  return Pad(layout, "", text, '<');
}

// One conversion of a % format, without the "%" and "(name)".
absl::StatusOr<std::string> FormatConversion(Runtime& runtime, Layout layout, const Value& value) {
  const char type = layout.type;
  if (absl::string_view("sra").find(type) != absl::string_view::npos) {
    if (type == 'a') return Unsupported("the conversion %a");
    std::string text;
    LLMCORE_RETURN_IF_ERROR(type == 's' ? AppendStr(runtime, value, &text)
                                        : AppendRepr(runtime, value, &text));
    if (layout.align == 0 || layout.align == '=') layout.align = '>';
    layout.fill = " ";
    return FormatText(layout, text);
  }
  if (absl::string_view("diuxXo").find(type) != absl::string_view::npos) {
    if (value.is_undefined()) return UndefinedError(value);
    const bool truncates = type == 'd' || type == 'i' || type == 'u';
    if (!value.is_integral() && !(truncates && value.kind() == Kind::kFloat)) {
      return Failure("%", absl::string_view(&type, 1), " format: a number is required, not ",
                     TypeName(value));
    }
    if (layout.precision.has_value()) return Unsupported("a precision for an integer in a format");
    int64_t number = value.as_int();
    if (value.kind() == Kind::kFloat) {
      if (!(std::abs(value.as_float()) < 9223372036854775808.0)) return IntegerTooLarge();
      number = static_cast<int64_t>(value.as_float());
    }
    return FormatInteger(layout, number);
  }
  if (absl::string_view("fFeEgG").find(type) != absl::string_view::npos) {
    if (value.is_undefined()) return UndefinedError(value);
    if (!value.is_number()) return Failure("must be real number, not ", TypeName(value));
    return FormatFloat(layout, value.as_number());
  }
  if (type == 'c') {
    if (!value.is_string() || CountCharacters(value.text()) != 1) {
      return Unsupported("%c of anything but one character");
    }
    return FormatText(layout, value.text());
  }
  return Failure("unsupported format character '", absl::string_view(&type, 1), "'");
}

absl::Status ParsePercentFlags(absl::string_view* rest, Layout* layout) {
  for (; !rest->empty(); rest->remove_prefix(1)) {
    const char flag = rest->front();
    if (flag == '-') {
      layout->align = '<';
    } else if (flag == '0' && layout->align != '<') {
      layout->align = '=';
      layout->fill = "0";
    } else if (flag == '+' || (flag == ' ' && layout->sign != '+')) {
      layout->sign = flag;
    } else if (flag == '#') {
      layout->alternate = true;
    } else if (flag != ' ' && flag != '0') {
      break;
    }
  }
  if (layout->align == '<') layout->fill = " ";
  if (absl::StartsWith(*rest, "*")) return Unsupported("'*' in a format");
  LLMCORE_ASSIGN_OR_RETURN(layout->width, TakeNumber(rest));
  if (absl::ConsumePrefix(rest, ".")) {
    if (absl::StartsWith(*rest, "*")) return Unsupported("'*' in a format");
    LLMCORE_ASSIGN_OR_RETURN(layout->precision, TakeNumber(rest));
  }
  if (rest->empty()) return Failure("incomplete format");
  layout->type = rest->front();
  rest->remove_prefix(1);
  return absl::OkStatus();
}

// The specification after ":" in a {} format.
absl::StatusOr<Layout> ParseSpecification(absl::string_view text) {
  Layout layout;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = text.empty() ? 0 : CharacterLength(text, 0);
  if (text.size() > first && is_align(text[first])) {
    layout.fill = text.substr(0, first);
    layout.align = text[first];
    text.remove_prefix(first + 1);
  } else if (!text.empty() && is_align(text[0])) {
    layout.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && (text[0] == '+' || text[0] == '-' || text[0] == ' ')) {
    layout.sign = text[0];
    text.remove_prefix(1);
  }
  layout.alternate = absl::ConsumePrefix(&text, "#");
  if (absl::StartsWith(text, "0") && layout.align == 0) {
    layout.fill = "0";
    layout.align = '=';
  }
  LLMCORE_ASSIGN_OR_RETURN(layout.width, TakeNumber(&text));
  layout.thousands = absl::ConsumePrefix(&text, ",");
  if (absl::ConsumePrefix(&text, ".")) {
    if (text.empty() || !IsDigitByte(text[0])) return Failure("Format specifier missing precision");
    LLMCORE_ASSIGN_OR_RETURN(layout.precision, TakeNumber(&text));
  }
  if (!text.empty()) {
    layout.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty()) return Unsupported("such a format specification");
  return layout;
}

absl::StatusOr<std::string> FormatWithLayout(Layout layout, const Value& value) {
  if (value.is_string()) {
    if ((layout.type != 0 && layout.type != 's') || layout.align == '=' || layout.thousands) {
      return Failure("such a format is not for a str");
    }
    return FormatText(layout, value.text());
  }
  const bool as_float =
      layout.type != 0 && absl::string_view("fFeEgG%").find(layout.type) != absl::string_view::npos;
  if (value.is_number() && as_float) return FormatFloat(layout, value.as_number());
  if (value.is_int() && layout.type != 's' && !layout.precision.has_value()) {
    if (absl::string_view("dxXob").find(layout.type) == absl::string_view::npos &&
        layout.type != 0) {
      return Unsupported("such a format of an integer");
    }
    return FormatInteger(layout, value.as_int());
  }
  if (value.kind() == Kind::kFloat && layout.type == 0 && !layout.precision.has_value()) {
    std::string digits = FloatRepr(std::abs(value.as_float()));
    if (layout.thousands) digits = GroupThousands(digits);
    return Pad(layout, SignOf(layout, std::signbit(value.as_float())), digits, '>');
  }
  return Unsupported("such a format of a ", TypeName(value));
}

// The fields of a {} format.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments)
      : runtime_(runtime), arguments_(arguments) {}

  absl::StatusOr<std::string> Run(absl::string_view format);

 private:
  absl::Status AppendField(absl::string_view field, std::string* out);
  absl::StatusOr<Value> Find(absl::string_view name);

  Runtime& runtime_;
  const Arguments& arguments_;
  size_t next_ = 0;        // position that the next {} takes
  bool numbered_ = false;  // a field had a number of its own
};

absl::StatusOr<Value> BraceFormatter::Find(absl::string_view name) {
  if (name.find_first_of(".[") != absl::string_view::npos) {
    return Unsupported("an attribute or item in a format field");
  }
  size_t position = 0;
  if (name.empty()) {
    if (numbered_) return Failure("cannot switch from manual field specification to automatic");
    position = next_++;
  } else if (IsDigitByte(name[0])) {
    if (next_ != 0) return Failure("cannot switch from automatic field numbering to manual");
    numbered_ = true;
    if (!absl::SimpleAtoi(name, &position)) return Failure("bad format field");
  } else {
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return Failure("the format needs the argument '", name, "'");
  }
  if (position >= arguments_.positional.size()) {
    return Failure("Replacement index ", position, " out of range for positional args tuple");
  }
  return arguments_.positional[position];
}

absl::Status BraceFormatter::AppendField(absl::string_view field, std::string* out) {
  const size_t end_of_name = std::min(field.find_first_of("!:"), field.size());
  LLMCORE_ASSIGN_OR_RETURN(Value value, Find(field.substr(0, end_of_name)));
  absl::string_view rest = field.substr(end_of_name);
  std::string converted;
  if (absl::ConsumePrefix(&rest, "!")) {
    if (absl::ConsumePrefix(&rest, "r")) {
      LLMCORE_RETURN_IF_ERROR(AppendRepr(runtime_, value, &converted));
    } else if (absl::ConsumePrefix(&rest, "s")) {
      LLMCORE_RETURN_IF_ERROR(AppendStr(runtime_, value, &converted));
    } else {
      return Unsupported("such a conversion in a format");
    }
    value = Value::String(converted);
  }
  if (absl::ConsumePrefix(&rest, ":") && !rest.empty()) {
    if (rest.find('{') != absl::string_view::npos) {
      return Unsupported("a field within a format field");
    }
    LLMCORE_ASSIGN_OR_RETURN(const Layout layout, ParseSpecification(rest));
    LLMCORE_ASSIGN_OR_RETURN(const std::string text, FormatWithLayout(layout, value));
    out->append(text);
    return absl::OkStatus();
  }
  if (!rest.empty()) return Failure("expected ':' after conversion specifier");
  return AppendStr(runtime_, value, out);
}

absl::StatusOr<std::string> BraceFormatter::Run(absl::string_view format) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if (c != '{' && c != '}') {
      out.push_back(c);
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == c) {
      out.push_back(c);
      ++i;
      continue;
    }
    if (c == '}') return Failure("Single '}' encountered in format string");
    const size_t end = format.find('}', i);
    if (end == absl::string_view::npos) return Failure("expected '}' before end of string");
    LLMCORE_RETURN_IF_ERROR(runtime_.Spend(1 + (end - i) / 16));
    LLMCORE_RETURN_IF_ERROR(AppendField(format.substr(i + 1, end - i - 1), &out));
    LLMCORE_RETURN_IF_ERROR(runtime_.heap().Check(out.size()));
    i = end;
  }
  return out;
}

}  // namespace

absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& value) {
  if (format.is_markup()) return Unsupported("'%' on text marked safe");
  const std::span<const Value> positional =
      value.kind() == Kind::kTuple ? value.items() : std::span<const Value>(&value, 1);
  absl::string_view rest = format.text();
  std::string out;
  size_t used = 0;
  bool by_name = false;
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(rest.size()));
  for (;;) {
    const size_t percent = std::min(rest.find('%'), rest.size());
    out.append(rest.data(), percent);
    if (percent == rest.size()) break;
    rest.remove_prefix(percent + 1);
    LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
    const Value* argument = nullptr;
    if (absl::StartsWith(rest, "(")) {
      const size_t end = rest.find(')');
      if (end == absl::string_view::npos) return Failure("incomplete format key");
      if (!value.is_dict()) return Failure("format requires a mapping");
      argument = value.dict().Find(rest.substr(1, end - 1));
      if (argument == nullptr) return Failure("the mapping has no ", rest.substr(0, end + 1));
      by_name = true;
      rest.remove_prefix(end + 1);
    }
    Layout layout;
    LLMCORE_RETURN_IF_ERROR(ParsePercentFlags(&rest, &layout));
    if (layout.type == '%') {
      out.push_back('%');
      continue;
    }
    if (argument == nullptr) {
      if (used == positional.size()) return Failure("not enough arguments for format string");
      argument = &positional[used++];
    }
    LLMCORE_ASSIGN_OR_RETURN(const std::string text, FormatConversion(runtime, layout, *argument));
    out.append(text);
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size()));
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(text.size()));
  }
  // Anything with [] that is neither text nor a tuple could be asked by name.
  const bool is_mapping = value.is_dict() || value.is_undefined() || value.kind() == Kind::kList;
  if (!by_name && used < positional.size() && !is_mapping) {
    return Failure("not all arguments converted during string formatting");
  }
  return runtime.heap().CopyString(out);
}

absl::StatusOr<Value> FormatBraces(Runtime& runtime, absl::string_view format,
                                   const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(format.size()));
  LLMCORE_ASSIGN_OR_RETURN(const std::string text, BraceFormatter(runtime, arguments).Run(format));
  return runtime.heap().CopyString(text);
}

}  // namespace llmcore::core::chat
