// A SentencePiece model file (sentencepiece_model.proto), as far as encoding needs it.
#ifndef LLMCORE_LIB_TOKENIZER_SENTENCEPIECE_H_
#define LLMCORE_LIB_TOKENIZER_SENTENCEPIECE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

struct SentencePieceFile {
  enum class PieceType {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  enum class ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  // by id
  // Defaults are those of the proto.
  ModelType model_type = ModelType::kUnigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  int64_t bos_id = 1;
  int64_t eos_id = 2;
  int64_t pad_id = -1;
  std::string charsmap;
  std::string denormalizer_charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;

  static absl::StatusOr<SentencePieceFile> Parse(absl::string_view file);
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_SENTENCEPIECE_H_
