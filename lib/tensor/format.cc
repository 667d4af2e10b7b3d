#include "lib/tensor/format.h"

namespace llmcore::core {
namespace {

struct NamedValue {
  absl::string_view name;
  uint32_t value;
};

constexpr NamedValue kNames[] = {{"auto", 0}, {"f32", 1},  {"bf16", 2},
                                 {"f16", 3},  {"int8", 4}, {"int4", 5}};

absl::string_view NameOf(uint32_t value) {
  for (const NamedValue& entry : kNames) {
    if (entry.value == value) return entry.name;
  }
  return "unknown";
}

std::optional<uint32_t> ValueOf(absl::string_view name) {
  for (const NamedValue& entry : kNames) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

}  // namespace

absl::string_view WeightFormatName(WeightFormat format) {
  if (format == WeightFormat::kInt4Zeros) return "int4-zeros";
  return NameOf(static_cast<uint32_t>(format));
}

absl::string_view KvFormatName(KvFormat format) {
  return NameOf(static_cast<uint32_t>(format));
}

absl::string_view ActivationFormatName(ActivationFormat format) {
  return NameOf(static_cast<uint32_t>(format));
}

std::optional<WeightFormat> ParseWeightFormat(absl::string_view name) {
  if (name == WeightFormatName(WeightFormat::kInt4Zeros)) return WeightFormat::kInt4Zeros;
  const auto value = ValueOf(name);
  if (!value.has_value()) return std::nullopt;
  return static_cast<WeightFormat>(*value);
}

std::optional<KvFormat> ParseKvFormat(absl::string_view name) {
  const auto value = ValueOf(name);
  if (!value.has_value()) return std::nullopt;
  return static_cast<KvFormat>(*value);
}

std::optional<ActivationFormat> ParseActivationFormat(absl::string_view name) {
  const auto value = ValueOf(name);
  if (!value.has_value()) return std::nullopt;
  switch (const auto format = static_cast<ActivationFormat>(*value)) {
    case ActivationFormat::kAuto:
    case ActivationFormat::kF32:
    case ActivationFormat::kBf16:
    case ActivationFormat::kInt8:
      return format;
  }
  return std::nullopt;  // a format of weights only
}

}  // namespace llmcore::core
