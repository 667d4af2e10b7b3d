// Every allocation and every file call of a load, a prefill, a decode, a save, a restore and a
// quantization fails once: the call that needed it returns an error, nothing is lost, and what
// lived before goes on.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/file.h"
#include "lib/io/safetensors.h"
#include "llmcore/llmcore_experimental.h"
#include "tests/fault/faults.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/sanitized_build.h"
#include "tests/support/zero_point_model.h"

namespace llmcore::test {
namespace {

using core::DType;
using core::SafetensorsWriter;

// Under ThreadSanitizer every few calls fail, from another one on each run of the loop.
constexpr int64_t kStride = kThreadSanitizer ? 13 : 1;

constexpr char kConfig[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "vocab_size": 12, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu"})";

constexpr char kTokenizer[] = R"({"version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
  "model": {"type": "BPE", "dropout": null, "unk_token": "u", "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
    "vocab": {"<s>": 0, "u": 1, "a": 2, "b": 3, "c": 4, ":": 5, "ab": 6, "d": 7, "e": 8, "f": 9,
      "g": 10, "h": 11}, "merges": ["a b"]}})";

constexpr char kTokenizerConfig[] = R"({"bos_token": "<s>", "chat_template":
  "{% for m in messages %}<s>{{ m.role[0] }}:{{ m.content }}{% endfor %}{% if add_generation_prompt %}<s>a:{% endif %}"})";

void WriteText(const std::string& path, const char* text) {
  std::ofstream(path) << text;
}

// A model of 2 layers with values that depend on nothing but their place.
std::string MakeModel() {
  const std::string directory = core::JoinPath(testing::TempDir(), "llmcore_fault_model");
  std::filesystem::create_directories(directory);
  WriteText(directory + "/config.json", kConfig);
  WriteText(directory + "/tokenizer.json", kTokenizer);
  WriteText(directory + "/tokenizer_config.json", kTokenizerConfig);
  std::vector<SafetensorsWriter::Tensor> tensors;
  const auto add = [&tensors](const std::string& name, core::TensorShape shape) {
    tensors.push_back({name, DType::kF32, std::move(shape)});
  };
  add("model.embed_tokens.weight", {12, 16});
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
    const std::string prefix = layer;
    add(prefix + "input_layernorm.weight", {16});
    add(prefix + "self_attn.q_proj.weight", {16, 16});
    add(prefix + "self_attn.k_proj.weight", {8, 16});
    add(prefix + "self_attn.v_proj.weight", {8, 16});
    add(prefix + "self_attn.o_proj.weight", {16, 16});
    add(prefix + "post_attention_layernorm.weight", {16});
    add(prefix + "mlp.gate_proj.weight", {24, 16});
    add(prefix + "mlp.up_proj.weight", {24, 16});
    add(prefix + "mlp.down_proj.weight", {16, 24});
  }
  add("model.norm.weight", {16});
  auto writer = SafetensorsWriter::Create(directory + "/model.safetensors", tensors, {});
  EXPECT_TRUE(writer.ok()) << writer.status();
  uint32_t state = 1;
  for (const SafetensorsWriter::Tensor& tensor : tensors) {
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
    EXPECT_TRUE(writer->Append(std::as_bytes(std::span(values))).ok());
  }
  EXPECT_TRUE(writer->Commit().ok());
  return directory;
}

// Ends a handle at the end of a scope.
template <typename T>
class Owned {
 public:
  explicit Owned(void (*destroy)(T*)) : destroy_(destroy) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { destroy_(handle_); }
  T** out() { return &handle_; }
  T* get() const { return handle_; }

 private:
  void (*const destroy_)(T*);
  T* handle_ = nullptr;
};

// What a call of the scenario came to: false ends the scenario.
bool Succeeded(llmcore_error* error) {
  if (error == nullptr) return true;
  EXPECT_NE(llmcore_error_code(error), LLMCORE_INTERNAL) << llmcore_error_message(error);
  EXPECT_GT(std::strlen(llmcore_error_message(error)), 0u);
  llmcore_error_destroy(error);
  return false;
}

bool Load(const std::string& directory, llmcore_model** model) {
  Owned<llmcore_model_options> options(llmcore_model_options_destroy);
  return Succeeded(llmcore_model_options_create(options.out())) &&
         Succeeded(llmcore_model_options_set_threads(options.get(), 2)) &&
         Succeeded(llmcore_model_options_set_kv_cache_tokens(options.get(), 160)) &&
         Succeeded(llmcore_model_load(directory.data(), directory.size(), options.get(), model));
}

// A conversation on `model`: prefill, decode, fork, save and restore.
bool Converse(const llmcore_model* model, const std::string& path) {
  Owned<llmcore_session> session(llmcore_session_destroy);
  Owned<llmcore_session> fork(llmcore_session_destroy);
  Owned<llmcore_session> restored(llmcore_session_destroy);
  Owned<llmcore_sampling_params> params(llmcore_sampling_params_destroy);
  if (!Succeeded(llmcore_session_create(model, session.out())) ||
      !Succeeded(llmcore_session_append_message(session.get(), "user", 4, "abcabc", 6)) ||
      !Succeeded(llmcore_sampling_params_create(params.out())) ||
      !Succeeded(llmcore_sampling_params_set_temperature(params.get(), 1)) ||
      !Succeeded(llmcore_sampling_params_set_logprobs(params.get(), 2)) ||
      !Succeeded(llmcore_sampling_params_set_max_tokens(params.get(), 4)) ||
      !Succeeded(llmcore_sampling_params_add_stop(params.get(), "zz", 2))) {
    return false;
  }
  {
    Owned<llmcore_generation> generation(llmcore_generation_destroy);
    if (!Succeeded(llmcore_session_generate(session.get(), params.get(), generation.out()))) {
      return false;
    }
    const llmcore_event* event = nullptr;
    do {
      if (!Succeeded(llmcore_generation_next(generation.get(), &event))) return false;
    } while (event != nullptr);
  }
  Owned<llmcore_answers> samples(llmcore_answers_destroy);
  Owned<llmcore_answers> beams(llmcore_answers_destroy);
  Owned<llmcore_prompt_logprobs> logprobs(llmcore_prompt_logprobs_destroy);
  if (!Succeeded(
          llmcore_session_sample_answers(session.get(), params.get(), 2, 3, samples.out())) ||
      !Succeeded(llmcore_session_beam_search(session.get(), 2, 3, 1, false, 1, beams.out())) ||
      !Succeeded(llmcore_session_prompt_logprobs(session.get(), 2, logprobs.out()))) {
    return false;
  }
  const float* logits = nullptr;
  size_t count = 0;
  return Succeeded(llmcore_session_fork(session.get(), fork.out())) &&
         Succeeded(llmcore_session_append_message(fork.get(), "user", 4, "de", 2)) &&
         Succeeded(llmcore_session_logits(fork.get(), &logits, &count)) &&
         Succeeded(llmcore_session_truncate(fork.get(), 3)) &&
         Succeeded(llmcore_session_save(session.get(), path.data(), path.size())) &&
         Succeeded(llmcore_session_restore(model, path.data(), path.size(), restored.out())) &&
         Succeeded(llmcore_session_logits(restored.get(), &logits, &count));
}

class FaultTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = MakeModel();
    path_ = core::JoinPath(testing::TempDir(), "llmcore_fault_session");
    quantized_folder_ = core::JoinPath(testing::TempDir(), "llmcore_fault_quantized");
    quantized_path_ = core::JoinPath(quantized_folder_, "int4");
    std::filesystem::remove_all(quantized_folder_);
    std::filesystem::create_directory(quantized_folder_);
    ASSERT_TRUE(Load(directory_, witness_model_.out()));
    ASSERT_TRUE(Succeeded(llmcore_session_create(witness_model_.get(), witness_.out())));
    const llmcore_token tokens[] = {0, 5, 6, 2, 3, 4};
    ASSERT_TRUE(Succeeded(llmcore_session_append_tokens(witness_.get(), tokens, 6)));
    expected_ = WitnessLogits();
    ASSERT_FALSE(expected_.empty());
    ASSERT_TRUE(Converse(witness_model_.get(), path_));
  }
  void TearDown() override {
    std::filesystem::remove_all(directory_);
    std::filesystem::remove(path_);
    std::filesystem::remove_all(quantized_folder_);
  }

  std::vector<float> WitnessLogits() {
    const float* values = nullptr;
    size_t count = 0;
    if (!Succeeded(llmcore_session_logits(witness_.get(), &values, &count))) return {};
    return std::vector<float>(values, values + count);
  }

  // What lived before a fault: the session computes its last position again, and all other blocks
  // of the cache can be had.
  void ExpectUnharmed() {
    const llmcore_token last[] = {4};
    ASSERT_TRUE(Succeeded(llmcore_session_truncate(witness_.get(), 5)));
    ASSERT_TRUE(Succeeded(llmcore_session_append_tokens(witness_.get(), last, 1)));
    const std::vector<float> logits = WitnessLogits();
    ASSERT_EQ(logits.size(), expected_.size());
    ASSERT_EQ(std::memcmp(logits.data(), expected_.data(), logits.size() * sizeof(float)), 0);
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(Succeeded(llmcore_session_create(witness_model_.get(), fill_[i].out())));
      const std::vector<llmcore_token> tokens(64, 7);
      ASSERT_TRUE(Succeeded(llmcore_session_append_tokens(fill_[i].get(), tokens.data(), 64)));
      const float* values = nullptr;
      size_t count = 0;
      ASSERT_TRUE(Succeeded(llmcore_session_logits(fill_[i].get(), &values, &count)));
    }
    for (auto& session : fill_) {
      llmcore_session_destroy(session.get());
      *session.out() = nullptr;
    }
    // A saved session is the old one or the new one, and whole.
    Owned<llmcore_session> saved(llmcore_session_destroy);
    ASSERT_TRUE(Succeeded(
        llmcore_session_restore(witness_model_.get(), path_.data(), path_.size(), saved.out())));
    ExpectQuantizedWholeOrNot();
  }

  // Runs `scenario` with call 0, 1, 2, ... failing until it runs without a fault.
  template <typename Scenario>
  void FailEach(FaultKind kind, bool from_then_on, int64_t stride, Scenario scenario) {
    int64_t failures = 0;
    for (int64_t nth = 0;; nth += stride) {
      bool fired;
      bool succeeded;
      {
        const ScopedFault fault(kind, nth, from_then_on);
        succeeded = scenario();
        fired = fault.fired();
      }
      if (!fired) {
        EXPECT_TRUE(succeeded) << "without a fault";
        break;
      }
      failures += succeeded ? 0 : 1;
      SCOPED_TRACE(testing::Message() << "call " << nth);
      ExpectUnharmed();
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(failures, 0);
    std::printf("%lld calls failed\n", static_cast<long long>(failures));
  }

  bool LoadOnce() {
    Owned<llmcore_model> model(llmcore_model_destroy);
    return Load(directory_, model.out());
  }

  bool QuantizeOnce(const std::string_view layout = "rows") {
    Owned<llmcore_model_options> options(llmcore_model_options_destroy);
    const auto log = [](void*, uint32_t, const char*, size_t) { return true; };
    return Succeeded(llmcore_model_options_create(options.out())) &&
           Succeeded(
               llmcore_model_options_set_log_callback(options.get(), log, nullptr, nullptr)) &&
           Succeeded(llmcore_model_options_set_checkpoint_layout(options.get(), layout.data(),
                                                                 layout.size())) &&
           Succeeded(llmcore_quantize_checkpoint(directory_.data(), directory_.size(),
                                                 quantized_path_.data(), quantized_path_.size(),
                                                 options.get()));
  }

  // A quantized copy is there as a whole or not at all, and nothing lies beside it.
  void ExpectQuantizedWholeOrNot() {
    for (const auto& entry : std::filesystem::directory_iterator(quantized_folder_)) {
      ASSERT_EQ(entry.path().string(), quantized_path_);
      Owned<llmcore_model> model(llmcore_model_destroy);
      ASSERT_TRUE(Load(quantized_path_, model.out()));
      std::filesystem::remove_all(quantized_path_);
    }
  }

  std::string directory_;
  std::string path_;
  std::string quantized_folder_;
  std::string quantized_path_;
  Owned<llmcore_model> witness_model_{llmcore_model_destroy};
  Owned<llmcore_session> witness_{llmcore_session_destroy};
  Owned<llmcore_session> fill_[2] = {Owned<llmcore_session>(llmcore_session_destroy),
                                     Owned<llmcore_session>(llmcore_session_destroy)};
  std::vector<float> expected_;
};

TEST_F(FaultTest, AnyAllocationOfALoadMayFail) {
  FailEach(FaultKind::kAllocation, false, kStride, [this] { return LoadOnce(); });
}

TEST_F(FaultTest, MemoryMayRunOutDuringALoad) {
  FailEach(FaultKind::kAllocation, true, 3 * kStride, [this] { return LoadOnce(); });
}

TEST_F(FaultTest, AnyFileCallOfALoadMayFail) {
  FailEach(FaultKind::kFile, false, 1, [this] { return LoadOnce(); });
}

// Whose rows are gathered while loading, on the threads of the backend.
TEST_F(FaultTest, AnyCallOfALoadOfZeroPointsMayFail) {
  using Packing = core::ZeroPointModel::Packing;
  for (const Packing packing : {Packing::kAwq, Packing::kGptq}) {
    const core::TemporaryDirectory model;
    core::WriteZeroPointModel({.packing = packing, .plain = {"k_proj"}, .layers = 1}, model.path(),
                              "");
    const auto load = [&model] {
      Owned<llmcore_model> loaded(llmcore_model_destroy);
      return Load(model.path(), loaded.out());
    };
    FailEach(FaultKind::kAllocation, false, kStride, load);
    FailEach(FaultKind::kAllocation, true, 3 * kStride, load);
    FailEach(FaultKind::kFile, false, 1, load);
  }
}

TEST_F(FaultTest, AnyAllocationOfAConversationMayFail) {
  FailEach(FaultKind::kAllocation, false, kStride,
           [this] { return Converse(witness_model_.get(), path_); });
}

TEST_F(FaultTest, MemoryMayRunOutDuringAConversation) {
  FailEach(FaultKind::kAllocation, true, kStride,
           [this] { return Converse(witness_model_.get(), path_); });
}

TEST_F(FaultTest, AnyFileCallOfASaveOrRestoreMayFail) {
  FailEach(FaultKind::kFile, false, 1, [this] { return Converse(witness_model_.get(), path_); });
}

TEST_F(FaultTest, AnyFileCallOfAQuantizationMayFail) {
  FailEach(FaultKind::kFile, false, 1, [this] { return QuantizeOnce(); });
}

TEST_F(FaultTest, AnyAllocationOfAQuantizationMayFail) {
  FailEach(FaultKind::kAllocation, false, kStride, [this] { return QuantizeOnce(); });
}

TEST_F(FaultTest, AnyFileCallOfPackingMayFail) {
  FailEach(FaultKind::kFile, false, 1, [this] { return QuantizeOnce("cpu"); });
}

TEST_F(FaultTest, AnyAllocationOfPackingMayFail) {
  FailEach(FaultKind::kAllocation, false, kStride, [this] { return QuantizeOnce("cpu"); });
}

TEST_F(FaultTest, AnyCallOfALoadOfPackedWeightsMayFail) {
  ASSERT_TRUE(QuantizeOnce("cpu"));
  const std::string packed = core::JoinPath(testing::TempDir(), "llmcore_fault_packed");
  std::filesystem::remove_all(packed);
  std::filesystem::rename(quantized_path_, packed);
  const auto load = [&packed] {
    Owned<llmcore_model> model(llmcore_model_destroy);
    return Load(packed, model.out());
  };
  FailEach(FaultKind::kAllocation, false, kStride, load);
  FailEach(FaultKind::kAllocation, true, 3 * kStride, load);
  FailEach(FaultKind::kFile, false, 1, load);
  std::filesystem::remove_all(packed);
}

// A rename alone may be undone by a power failure.
TEST_F(FaultTest, RenamesAreFlushedWithTheirFolders) {
  int64_t before = FoldersFlushed();
  Owned<llmcore_session> session(llmcore_session_destroy);
  ASSERT_TRUE(Succeeded(llmcore_session_create(witness_model_.get(), session.out())));
  ASSERT_TRUE(Succeeded(llmcore_session_save(session.get(), path_.data(), path_.size())));
  EXPECT_EQ(FoldersFlushed() - before, 1);
  // The files of the directory, and the directory itself in the folder above.
  before = FoldersFlushed();
  ASSERT_TRUE(QuantizeOnce());
  const auto files = std::distance(std::filesystem::directory_iterator(quantized_path_), {});
  EXPECT_EQ(FoldersFlushed() - before, files + 1);
}

}  // namespace
}  // namespace llmcore::test
