// Fields of Hugging Face configuration files, checked. Internal to lib/config.
#ifndef LLMCORE_LIB_CONFIG_CONFIG_FIELDS_H_
#define LLMCORE_LIB_CONFIG_CONFIG_FIELDS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/json.h"
#include "lib/base/status.h"

namespace llmcore::core {

// The value as a message shows it: scalars as JSON, containers by kind.
std::string ValueText(const JsonValue& value);

// UNIMPLEMENTED: "\"key\" is VALUE, which is not supported".
absl::Status UnsupportedField(absl::string_view key, const JsonValue& value);

// A setting that changes the result and that this library knows by its neutral value only.
enum class Neutral : uint8_t {
  kOff,   // null, false, 0, "", [] or {}
  kOne,   // null or 1
  kTrue,  // null or true
};
struct RefusedField {
  absl::string_view key;
  Neutral neutral;
};
absl::Status RefuseFields(const JsonObject& json, std::span<const RefusedField> fields);

// Whether the key is there with a value other than null.
bool IsSet(const JsonObject& json, absl::string_view key);

// An integer in [1, limit]; missing or null: `fallback`, or an error where that is unset.
absl::StatusOr<int32_t> GetSize(const JsonObject& json, absl::string_view key, int32_t limit,
                                std::optional<int32_t> fallback = std::nullopt);

// A finite number in [low, high]; missing or null: `fallback`.
absl::StatusOr<double> GetNumber(const JsonObject& json, absl::string_view key, double low,
                                 double high, double fallback);
// The same, nullopt when missing or null.
absl::StatusOr<std::optional<double>> GetOptionalNumber(const JsonObject& json,
                                                        absl::string_view key, double low,
                                                        double high);

// An id or a list of ids; none for null, a missing key and negative values. A list where only one
// id makes sense (bos, pad) is an error of GetTokenId when it holds more than one.
absl::StatusOr<std::vector<int32_t>> GetTokenIds(const JsonObject& json, absl::string_view key);
absl::StatusOr<std::optional<int32_t>> GetTokenId(const JsonObject& json, absl::string_view key);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_CONFIG_FIELDS_H_
