#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

// Second-byte range and length of a sequence by its first byte (Unicode 15, table 3-7).
struct LeadByte {
  uint8_t length;  // 0: not a lead byte
  uint8_t second_low;
  uint8_t second_high;
};

LeadByte Classify(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

uint8_t ByteAt(absl::string_view text, size_t i) {
  return static_cast<uint8_t>(text.data()[i]);
}

// Bytes of the sequence at `offset` that are well formed, up to its full length.
uint32_t WellFormedBytes(absl::string_view text, size_t offset, const LeadByte& lead) {
  uint32_t count = 1;
  while (count < lead.length && offset + count < text.size()) {
    const uint8_t byte = ByteAt(text, offset + count);
    const uint8_t low = count == 1 ? lead.second_low : 0x80;
    const uint8_t high = count == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) break;
    ++count;
  }
  return count;
}

}  // namespace

DecodedCharacter DecodeUtf8(absl::string_view text, size_t offset) {
  const uint8_t first = ByteAt(text, offset);
  if (first < 0x80) return {first, 1, true};
  const LeadByte lead = Classify(first);
  if (lead.length == 0) return {kReplacementCharacter, 1, false};
  const uint32_t count = WellFormedBytes(text, offset, lead);
  if (count < lead.length) return {kReplacementCharacter, count, false};
  char32_t code_point = first & (0x7Fu >> lead.length);
  for (uint32_t i = 1; i < count; ++i) {
    code_point = code_point << 6 | (ByteAt(text, offset + i) & 0x3Fu);
  }
  return {code_point, count, true};
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto push = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6);
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

size_t FirstInvalidUtf8(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    if (!character.valid) return i;
    i += character.length;
  }
  return i;
}

bool IsValidUtf8(absl::string_view text) {
  return FirstInvalidUtf8(text) == text.size();
}

size_t CompleteUtf8Prefix(absl::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t start = text.size() - back;
    const LeadByte lead = Classify(ByteAt(text, start));
    if (lead.length == 0) continue;  // perhaps a continuation byte: look further back
    const bool pending = lead.length > back && WellFormedBytes(text, start, lead) == back;
    return pending ? start : text.size();
  }
  return text.size();
}

}  // namespace llmcore::core
