// Decoders turn the pieces of a token sequence into text, step by step. Each step is a transducer
// that passes on what no later token can change, so that the same code decodes a whole sequence and
// a stream. Each is one entry of tokenizer.json's "decoder"; a Sequence is flattened by the loader.
#ifndef LLMCORE_LIB_TOKENIZER_DECODERS_H_
#define LLMCORE_LIB_TOKENIZER_DECODERS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/regex.h"

namespace llmcore::core {

class DecoderStep {
 public:
  virtual ~DecoderStep() = default;

  // A step of the same kind at the start of a sequence.
  virtual std::unique_ptr<DecoderStep> Fresh() const = 0;

  // A piece comes in fragments, the last of which ends it.
  virtual absl::Status Push(absl::string_view fragment, bool ends_piece) = 0;
  // The sequence is over: passes on what is held back, but does not finish the next step.
  virtual absl::Status Finish() = 0;

  // Where the step passes fragments on: to the next step, or to the text when that is null.
  void Connect(DecoderStep* next, std::string* text) {
    next_ = next;
    text_ = text;
  }

 protected:
  absl::Status Emit(absl::string_view fragment, bool ends_piece);

 private:
  DecoderStep* next_ = nullptr;
  std::string* text_ = nullptr;
};

using DecoderSteps = std::vector<std::unique_ptr<DecoderStep>>;

std::unique_ptr<DecoderStep> MakeByteLevelDecoder();
std::unique_ptr<DecoderStep> MakeByteFallbackDecoder();
std::unique_ptr<DecoderStep> MakeFuseDecoder();
std::unique_ptr<DecoderStep> MakeStripDecoder(char32_t character, size_t start, size_t stop);
std::unique_ptr<DecoderStep> MakeReplaceDecoder(std::string pattern, std::string content);
std::unique_ptr<DecoderStep> MakeRegexReplaceDecoder(Regex pattern, std::string content);
// `drops_first`: the first piece has a replacement that stands for no space.
std::unique_ptr<DecoderStep> MakeMetaspaceDecoder(std::string replacement, bool drops_first);
std::unique_ptr<DecoderStep> MakeBpeDecoder(std::string suffix);
std::unique_ptr<DecoderStep> MakeWordPieceDecoder(std::string prefix, bool cleanup);
// What stands in for a decoder where there is none: pieces with a space between them.
std::unique_ptr<DecoderStep> MakeJoinDecoder();

// Steps connected to a text.
class DecoderChain {
 public:
  explicit DecoderChain(const DecoderSteps& steps);

  absl::Status Push(absl::string_view piece);
  absl::Status Finish();
  // The text since the last call.
  std::string Take();

 private:
  DecoderSteps steps_;
  std::unique_ptr<std::string> text_;  // on the heap, so that the chain can be moved
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_DECODERS_H_
