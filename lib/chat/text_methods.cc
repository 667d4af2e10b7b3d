#include "lib/chat/text_methods.h"

#include <algorithm>
#include <string>

#include "lib/base/utf8.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

bool IsOneOf(absl::string_view characters, absl::string_view c) {
  return FindText(characters, c, 0) != absl::string_view::npos;
}

size_t LastCharacter(absl::string_view text) {
  size_t offset = text.size() - 1;
  while (offset > 0 && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) --offset;
  return offset;
}

}  // namespace

absl::StatusOr<Value> StripText(Runtime& runtime, const Value& text, const Value* characters,
                                bool left, bool right) {
  absl::string_view kept = text.text();
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(kept.size()));
  if (characters == nullptr || characters->is_none()) {
    if (left) kept = StripLeft(kept);
    if (right) kept = StripRight(kept);
    return Value::String(kept, text.is_markup());
  }
  if (!characters->is_string()) return Failure("strip arg must be None or str");
  const absl::string_view set = characters->text();
  while (left && !kept.empty()) {
    const size_t length = CharacterLength(kept, 0);
    if (!IsOneOf(set, kept.substr(0, length))) break;
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(8 + set.size()));
    kept.remove_prefix(length);
  }
  while (right && !kept.empty()) {
    const size_t last = LastCharacter(kept);
    if (!IsOneOf(set, kept.substr(last))) break;
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(8 + set.size()));
    kept = kept.substr(0, last);
  }
  return Value::String(kept, text.is_markup());
}

absl::StatusOr<Value> ReplaceText(Runtime& runtime, absl::string_view text, absl::string_view from,
                                  absl::string_view to, int64_t count, bool markup) {
  std::string out;
  size_t position = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    LLMCORE_RETURN_IF_ERROR(runtime.SpendText(64 + from.size() + to.size()));
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(out.size() + to.size()));
    if (from.empty()) {  // before each character, and at the end
      out.append(to.data(), to.size());
      if (position == text.size()) break;
      const size_t length = CharacterLength(text, position);
      out.append(text.data() + position, length);
      position += length;
      continue;
    }
    const size_t found = FindText(text, from, position);
    if (found == absl::string_view::npos) break;
    out.append(text.data() + position, found - position);
    out.append(to.data(), to.size());
    position = found + from.size();
  }
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(text.size()));
  if (position == 0 && out.empty()) return Value::String(text, markup);
  out.append(text.data() + position, text.size() - position);
  return runtime.heap().CopyString(out, markup);
}

absl::StatusOr<Value> CenterText(Runtime& runtime, const Value& text, int64_t width,
                                 absl::string_view fill) {
  const auto size = static_cast<int64_t>(CountCharacters(text.text()));
  if (width <= size) return text;
  const int64_t margin = width - size;
  // Where the odd one goes is a quirk of CPython.
  const int64_t left = margin / 2 + (margin & width & 1);
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(static_cast<uint64_t>(margin) * 4));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(static_cast<uint64_t>(margin)));
  std::string out;
  for (int64_t i = 0; i < left; ++i) out.append(fill.data(), fill.size());
  out.append(text.text().data(), text.text().size());
  for (int64_t i = left; i < margin; ++i) out.append(fill.data(), fill.size());
  return runtime.heap().CopyString(out, text.is_markup());
}

}  // namespace llmcore::core::chat
