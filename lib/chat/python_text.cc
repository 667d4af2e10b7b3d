#include "lib/chat/python_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"  // not str_format.h: it ends the process when memory runs out
#include "lib/base/utf8.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

constexpr int kMaxDepth = 100;  // of values within values

void AppendStringRepr(absl::string_view text, std::string* out) {
  const bool has_single = text.find('\'') != absl::string_view::npos;
  const bool has_double = text.find('"') != absl::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out->push_back(quote);
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    const auto code = static_cast<unsigned>(c.code_point);
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(code));
    } else if (code == '\n') {
      out->append("\\n");
    } else if (code == '\r') {
      out->append("\\r");
    } else if (code == '\t') {
      out->append("\\t");
    } else if (IsPrintable(c.code_point)) {
      out->append(text.data() + i, c.length);
    } else if (code < 0x100) {
      absl::StrAppend(out, "\\x", absl::Hex(code, absl::kZeroPad2));
    } else if (code < 0x10000) {
      absl::StrAppend(out, "\\u", absl::Hex(code, absl::kZeroPad4));
    } else {
      absl::StrAppend(out, "\\U", absl::Hex(code, absl::kZeroPad8));
    }
    i += c.length;
  }
  out->push_back(quote);
}

absl::Status ReprAt(Runtime& runtime, const Value& value, int depth, std::string* out);

absl::Status AppendItems(Runtime& runtime, std::span<const Value> items, int depth,
                         std::string* out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out->append(", ");
    LLMCORE_RETURN_IF_ERROR(ReprAt(runtime, items[i], depth, out));
  }
  return absl::OkStatus();
}

absl::Status AppendDict(Runtime& runtime, const Dict& dict, int depth, std::string* out) {
  out->push_back('{');
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i != 0) out->append(", ");
    LLMCORE_RETURN_IF_ERROR(ReprAt(runtime, dict.entries[i].key, depth, out));
    out->append(": ");
    LLMCORE_RETURN_IF_ERROR(ReprAt(runtime, dict.entries[i].value, depth, out));
  }
  out->push_back('}');
  return absl::OkStatus();
}

absl::Status AppendView(Runtime& runtime, const View& view, absl::string_view type, int depth,
                        std::string* out) {
  absl::StrAppend(out, type, "([");
  for (size_t i = 0; i < view.dict->entries.size(); ++i) {
    const DictEntry& entry = view.dict->entries[i];
    if (i != 0) out->append(", ");
    const bool both = view.part == View::Part::kItems;
    if (both) out->push_back('(');
    if (both || view.part == View::Part::kKeys) {
      LLMCORE_RETURN_IF_ERROR(ReprAt(runtime, entry.key, depth, out));
    }
    if (both) out->append(", ");
    if (both || view.part == View::Part::kValues) {
      LLMCORE_RETURN_IF_ERROR(ReprAt(runtime, entry.value, depth, out));
    }
    if (both) out->push_back(')');
  }
  out->append("])");
  return absl::OkStatus();
}

void AppendRange(const Range& range, std::string* out) {
  absl::StrAppend(out, "range(", range.start, ", ", range.stop);
  if (range.step != 1) absl::StrAppend(out, ", ", range.step);
  out->push_back(')');
}

absl::Status ReprAt(Runtime& runtime, const Value& value, int depth, std::string* out) {
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out->size()));
  if (depth > kMaxDepth) {
    return absl::ResourceExhaustedError(
        absl::StrCat("values nested deeper than ", kMaxDepth, " levels cannot be printed"));
  }
  switch (value.kind()) {
    case Kind::kUndefined:
      out->append("Undefined");
      return absl::OkStatus();
    case Kind::kNone:
      out->append("None");
      return absl::OkStatus();
    case Kind::kBool:
      out->append(value.as_bool() ? "True" : "False");
      return absl::OkStatus();
    case Kind::kInt:
      absl::StrAppend(out, value.as_int());
      return absl::OkStatus();
    case Kind::kFloat:
      out->append(FloatRepr(value.as_float()));
      return absl::OkStatus();
    case Kind::kString:
      LLMCORE_RETURN_IF_ERROR(runtime.SpendText(value.text().size()));
      if (value.is_markup()) out->append("Markup(");
      AppendStringRepr(value.text(), out);
      if (value.is_markup()) out->push_back(')');
      return absl::OkStatus();
    case Kind::kList:
      out->push_back('[');
      LLMCORE_RETURN_IF_ERROR(AppendItems(runtime, value.items(), depth + 1, out));
      out->push_back(']');
      return absl::OkStatus();
    case Kind::kTuple:
      out->push_back('(');
      LLMCORE_RETURN_IF_ERROR(AppendItems(runtime, value.items(), depth + 1, out));
      out->append(value.items().size() == 1 ? ",)" : ")");
      return absl::OkStatus();
    case Kind::kDict:
      return AppendDict(runtime, value.dict(), depth + 1, out);
    case Kind::kRange:
      AppendRange(value.range(), out);
      return absl::OkStatus();
    case Kind::kView:
      return AppendView(runtime, value.view(), TypeName(value), depth + 1, out);
    default:
      return Unsupported("printing a ", TypeName(value), " (its text is an address)");
  }
}

// Decimal digits of other scripts, which Python's int() reads too.
bool HasForeignDigit(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    if (c.code_point >= 0x80 && IsDecimal(c.code_point)) return true;
    i += c.length;
  }
  return false;
}

}  // namespace

absl::Status AppendStr(Runtime& runtime, const Value& value, std::string* out) {
  if (value.is_string()) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(value.text().size()));
    out->append(value.text().data(), value.text().size());
    return absl::OkStatus();
  }
  if (value.is_undefined()) return absl::OkStatus();
  return ReprAt(runtime, value, 0, out);
}

absl::Status AppendRepr(Runtime& runtime, const Value& value, std::string* out) {
  return ReprAt(runtime, value, 0, out);
}

absl::StatusOr<Value> ToStr(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  std::string text;
  LLMCORE_RETURN_IF_ERROR(AppendStr(runtime, value, &text));
  return runtime.heap().CopyString(text);
}

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const absl::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  const size_t digits_of_exponent = shortest[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(buffer + digits_of_exponent, end, exponent);
  // Python writes 1e16 and 1e-05, and everything between without an exponent.
  if (exponent < -4 || exponent >= 16) {
    return absl::StrCat(shortest.substr(0, e), exponent < 0 ? "e-" : "e+",
                        absl::Dec(std::abs(exponent), absl::kZeroPad2));
  }
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string fixed(buffer, static_cast<size_t>(fixed_end - buffer));
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

std::string ShortRepr(const Value& value) {
  constexpr size_t kMaxBytes = 60;
  switch (value.kind()) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.as_bool() ? "True" : "False";
    case Kind::kInt:
      return absl::StrCat(value.as_int());
    case Kind::kFloat:
      return FloatRepr(value.as_float());
    case Kind::kString: {
      const absl::string_view text = value.text();
      std::string repr;
      AppendStringRepr(text.substr(0, CompleteUtf8Prefix(text.substr(0, kMaxBytes))), &repr);
      if (text.size() > kMaxBytes) repr.append("...");
      return repr;
    }
    default:
      return absl::StrCat("a ", TypeName(value));
  }
}

absl::Status IntegerTooLarge() {
  return absl::OutOfRangeError("an integer of more than 64 bits is not supported");
}

absl::StatusOr<std::optional<int64_t>> ParseInteger(absl::string_view text, int base) {
  text = StripRight(StripLeft(text));
  const bool negative = absl::StartsWith(text, "-");
  if (negative || absl::StartsWith(text, "+")) text.remove_prefix(1);
  if (text.size() >= 2 && text[0] == '0') {
    const char marker = absl::ascii_tolower(static_cast<unsigned char>(text[1]));
    const int marked = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      base = marked;
      text.remove_prefix(2);
      if (absl::StartsWith(text, "_")) text.remove_prefix(1);
    } else if (base == 0 && text.find_first_not_of("0_") != absl::string_view::npos) {
      return std::nullopt;  // 012 is no literal of Python
    }
  }
  if (base == 0) base = 10;
  // The magnitude grows below zero, where there is room for one more.
  int64_t value = 0;
  bool previous_is_digit = false;
  for (const char raw : text) {
    if (raw == '_' && previous_is_digit) {
      previous_is_digit = false;
      continue;
    }
    const char c = absl::ascii_tolower(static_cast<unsigned char>(raw));
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
    if (digit >= base) {
      if (HasForeignDigit(text)) return Unsupported("int() of such digits");
      return std::nullopt;
    }
    previous_is_digit = true;
    if (__builtin_mul_overflow(value, base, &value) ||
        __builtin_sub_overflow(value, digit, &value)) {
      return IntegerTooLarge();
    }
  }
  if (!previous_is_digit) return std::nullopt;
  if (negative) return value;
  if (value == std::numeric_limits<int64_t>::min()) return IntegerTooLarge();
  return -value;
}

std::optional<double> ParseFloat(absl::string_view text) {
  text = StripRight(StripLeft(text));
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits.push_back(absl::ascii_tolower(static_cast<unsigned char>(text[i])));
    } else if (i == 0 || i + 1 == text.size() ||
               !absl::ascii_isdigit(static_cast<unsigned char>(text[i - 1])) ||
               !absl::ascii_isdigit(static_cast<unsigned char>(text[i + 1]))) {
      return std::nullopt;
    }
  }
  absl::string_view rest = digits;
  const bool negative = absl::StartsWith(rest, "-");
  if (negative || absl::StartsWith(rest, "+")) rest.remove_prefix(1);
  double value = 0;
  if (rest == "inf" || rest == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (rest == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (rest.empty() || rest.find_first_not_of("0123456789.e+-") != absl::string_view::npos) {
      return std::nullopt;
    }
    if (rest[0] == '+' || rest[0] == '-') return std::nullopt;
    const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (result.ptr != rest.data() + rest.size()) return std::nullopt;
    if (result.ec == std::errc::result_out_of_range) {
      // Too large or too small for a double: from_chars does not say which.
      const size_t e = rest.find('e');
      const bool tiny = e != absl::string_view::npos
                            ? rest.substr(e + 1, 1) == "-"
                            : absl::StartsWith(rest, "0") || absl::StartsWith(rest, ".");
      value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
    } else if (result.ec != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

}  // namespace llmcore::core::chat
