// Reading the components of tokenizer.json strictly: an option that is not known is refused.
#ifndef LLMCORE_LIB_TOKENIZER_COMPONENT_H_
#define LLMCORE_LIB_TOKENIZER_COMPONENT_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/tokenizer/parts.h"

namespace llmcore::core {

// An object with a "type", and where it stands ("pre_tokenizer.pretokenizers[1]").
struct Component {
  const JsonObject* object;
  absl::string_view type;
  std::string path;

  // UNIMPLEMENTED for a member beside "type" that is not among `names`.
  absl::Status Allow(std::initializer_list<absl::string_view> names) const;
  // UNIMPLEMENTED for the type.
  absl::Status Unknown() const;
  // The error with the path in front.
  absl::Status At(const absl::Status& status) const;
  // A member that is a string of one character, and a short string.
  absl::StatusOr<std::string> Character(absl::string_view name) const;
  absl::StatusOr<std::string> Text(absl::string_view name) const;
};

// The components of tokenizer[name], with those inside Sequences (whose list is called `list`) in
// their place. Empty for null.
absl::StatusOr<std::vector<Component>> ReadComponents(const JsonObject& tokenizer,
                                                      absl::string_view name,
                                                      absl::string_view list);

absl::Status ReadNormalizers(const JsonObject& tokenizer, TokenizerParts* parts);
absl::Status ReadDecoders(const JsonObject& tokenizer, TokenizerParts* parts);
// Sets *byte_level when the last step is ByteLevel and the model shall read bytes.
absl::Status ReadPreTokenizers(const JsonObject& tokenizer, bool may_be_byte_level,
                               TokenizerParts* parts, bool* byte_level);
absl::Status ReadPostProcessors(const JsonObject& tokenizer, TokenizerParts* parts);
// `byte_level` as above.
absl::Status ReadModel(const JsonObject& tokenizer, bool byte_level, TokenizerParts* parts);

// {"String": "..."} or {"Regex": "..."}.
struct JsonPattern {
  bool is_regex;
  std::string text;
};
absl::StatusOr<JsonPattern> ReadPattern(const JsonObject& object);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_COMPONENT_H_
