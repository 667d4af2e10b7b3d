// A loaded model: weights on a device, the KV cache that its sessions share, tokenizer and chat
// template. What llmcore_model is made of.
#ifndef LLMCORE_LIB_SESSION_MODEL_H_
#define LLMCORE_LIB_SESSION_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/cancel.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/config/generation_config.h"
#include "lib/config/model_config.h"
#include "lib/engine/schedule.h"
#include "lib/memory/memory_plan.h"
#include "lib/session/text_codec.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

class Backend;
class Checkpoint;
class Engine;
class WeightSource;

struct ModelOptions {
  std::string device = "auto";                       // "auto", "cpu", "cuda", "cuda:N"
  WeightFormat weight_format = WeightFormat::kAuto;  // auto: as stored when quantized, else bf16
  KvFormat kv_format = KvFormat::kAuto;              // auto: f32 with f32 weights, else bf16
  ActivationFormat activation_format = ActivationFormat::kAuto;
  std::optional<uint64_t> memory_budget;       // bytes of the plan's total; unset: no limit
  std::optional<int64_t> kv_cache_tokens;      // unset: one sequence of max_context
  std::optional<double> kv_cache_fraction;     // of what is free after all else, in (0, 1]
  std::optional<int32_t> max_context;          // unset: the model's own, at most 8192
  std::optional<int32_t> max_batch_tokens;     // unset: 512
  std::optional<int32_t> max_batch_sequences;  // unset: 32
  bool prefix_cache = true;                    // prompts that begin alike are read once
  uint64_t swap_bytes = 0;  // the most memory of the host for blocks that the cache has no room for
  // Whether a sequence's logits never depend on what shares its steps. Without it a GPU may
  // multiply many tokens in a faster way that has other bits.
  bool deterministic = true;
  Scheduler scheduler = Scheduler::kBackground;
  int threads = 0;                         // 0: one per usable core
  std::string checkpoint_layout = "rows";  // what quantizing writes: "rows", or a device's own
  ProgressCallback progress;
  LogCallback log;
  std::shared_ptr<const CancelToken> cancel;  // stops a load
};

// Thread rule: const functions from any thread. Sessions keep their model alive.
class Model : public std::enable_shared_from_this<Model> {
 public:
  // `path`: a Hugging Face model directory, or the name of one in the local cache.
  static absl::StatusOr<std::shared_ptr<const Model>> Load(absl::string_view path,
                                                           const ModelOptions& options);
  // The same with random weights of a published shape ("llama-3.2-1b", ...): for measuring speed
  // where no weights are. It has no tokenizer.
  static absl::StatusOr<std::shared_ptr<const Model>> LoadSynthetic(absl::string_view shape,
                                                                    const ModelOptions& options);
  // Reads headers only and allocates nothing of the model. Does not check the budget against the
  // plan: compare plan.total().
  static absl::StatusOr<MemoryPlan> Plan(absl::string_view path, const ModelOptions& options);
  // Likewise what LoadSynthetic would take.
  static absl::StatusOr<MemoryPlan> PlanSynthetic(absl::string_view shape,
                                                  const ModelOptions& options);

  ~Model();

  const ModelConfig& config() const { return config_; }
  const GenerationConfig& generation_config() const { return generation_config_; }
  const MemoryPlan& plan() const { return plan_; }
  std::string BackendDescription() const;

  // Engine::Step.
  absl::StatusOr<bool> Step() const;

  // Engine::SetTrace and TraceJson. Any thread, while sessions run too.
  void SetTrace(bool enabled) const;
  std::string TraceJson() const;
  // What is going on at the moment, as llmcore_model_stats_json says it. Any thread.
  std::string StatsJson() const;

  // Tokenizer and chat template, as far as the directory has them.
  const std::shared_ptr<const TextCodec>& text() const { return text_; }
  // Ids that end a reply: of config.json, generation_config.json and the tokenizer.
  bool IsEndOfText(TokenId token) const;
  std::span<const TokenId> end_of_text() const { return end_of_text_; }  // some perhaps twice

  // Tells this model, in these formats, from every other: for saved sessions.
  const std::string& fingerprint() const { return fingerprint_; }

  Engine& engine() const { return *engine_; }

 private:
  Model();

  absl::Status Build(const ModelOptions& options, const WeightSource& weights,
                     std::unique_ptr<Backend> backend);
  void FindEndOfText();

  ModelConfig config_;
  GenerationConfig generation_config_;
  MemoryPlan plan_;
  std::shared_ptr<const TextCodec> text_;
  std::vector<TokenId> end_of_text_;
  std::string fingerprint_;
  std::unique_ptr<const Checkpoint>
      mapped_;  // holds weights that the engine uses in place, or NULL
  std::unique_ptr<Engine> engine_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_MODEL_H_
