#include "lib/config/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/file.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kSizes[] =
    R"("hidden_size":64,"intermediate_size":96,"num_hidden_layers":3,"num_attention_heads":8,)"
    R"("num_key_value_heads":2,"vocab_size":100)";

absl::StatusOr<ModelConfig> ParseText(const std::string& text) {
  const auto json = ParseJson(text);
  if (!json.ok()) return json.status();
  if (json->if_object() == nullptr) return absl::InvalidArgumentError("no object");
  return ParseModelConfig(*json->if_object());
}

// `fields` begins with a comma when it is not empty.
absl::StatusOr<ModelConfig> Parse(const std::string& model_type, const std::string& fields) {
  return ParseText(absl::StrCat("{\"model_type\":\"", model_type, "\",", kSizes, fields, "}"));
}

void ExpectError(const absl::StatusOr<ModelConfig>& config, absl::StatusCode code,
                 const std::string& message) {
  EXPECT_EQ(config.status().code(), code) << config.status() << " for " << message;
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(message));
}

TEST(ModelConfigTest, Llama32AsPublished) {
  const auto config = ParseText(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kLlama);
  EXPECT_EQ(config->hidden_size, 2048);
  EXPECT_EQ(config->intermediate_size, 8192);
  EXPECT_EQ(config->num_layers, 16);
  EXPECT_EQ(config->num_heads, 32);
  EXPECT_EQ(config->num_kv_heads, 8);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->vocab_size, 128256);
  EXPECT_EQ(config->max_position_embeddings, 131072);
  EXPECT_EQ(config->rms_norm_eps, 1e-5);
  EXPECT_EQ(config->activation, GateActivation::kSilu);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config->rope.theta, 500000);
  EXPECT_EQ(config->rope.factor, 32);
  EXPECT_EQ(config->rope.original_max_position_embeddings, 8192);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_FALSE(config->qkv_bias || config->output_bias || config->mlp_bias || config->qk_norm);
  EXPECT_EQ(config->bos_token_id, 128000);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(128001, 128008, 128009));
  EXPECT_EQ(config->dtype, DType::kBf16);
  EXPECT_EQ(config->sliding_window, std::vector<int32_t>(16, 0));
  EXPECT_FALSE(config->quantization.has_value());
}

TEST(ModelConfigTest, Qwen25AsPublished) {
  const auto config = ParseText(R"({
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
    "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
    "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kQwen2);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_TRUE(config->qkv_bias);
  EXPECT_FALSE(config->output_bias || config->mlp_bias || config->qk_norm);
  EXPECT_EQ(config->sliding_window, std::vector<int32_t>(24, 0));
  EXPECT_THAT(config->eos_token_ids, ElementsAre(151645));
}

TEST(ModelConfigTest, Qwen3AsPublished) {
  const auto config = ParseText(R"({
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
    "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false,
    "vocab_size": 151936})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kQwen3);
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_TRUE(config->qk_norm);
  EXPECT_FALSE(config->qkv_bias);
  EXPECT_EQ(config->rope.theta, 1e6);
}

TEST(ModelConfigTest, MistralAsPublished) {
  const auto config = ParseText(R"({
    "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kMistral);
  EXPECT_EQ(config->sliding_window, std::vector<int32_t>(32, 4096));
  EXPECT_FALSE(config->qkv_bias);
}

TEST(ModelConfigTest, ReferenceModelsAreUnderstood) {
  const std::string models = LLMCORE_REFERENCE_DIR "/models";
  if (!DirectoryExists(models)) GTEST_SKIP() << "no reference data in " << models;
  const std::pair<const char*, Architecture> cases[] = {
      {"stories260K-f32", Architecture::kLlama},    {"stories260K-bf16", Architecture::kLlama},
      {"babyllama105-f32", Architecture::kLlama},   {"tiny-llama", Architecture::kLlama},
      {"tiny-llama-sharded", Architecture::kLlama}, {"tiny-qwen2", Architecture::kQwen2},
      {"tiny-qwen3", Architecture::kQwen3}};
  for (const auto& [name, architecture] : cases) {
    const auto config = LoadModelConfig(JoinPath(models, name));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->architecture, architecture) << name;
  }
}

TEST(ModelConfigTest, MissingKeysTakeTheDefaultsOfTheirArchitecture) {
  const std::string sizes = R"("hidden_size":4096,"intermediate_size":96,"num_hidden_layers":30,)"
                            R"("num_attention_heads":32,"vocab_size":100})";
  const auto parse = [&sizes](const std::string& type) {
    return *ParseText("{\"model_type\":\"" + type + "\"," + sizes);
  };
  const ModelConfig llama = parse("llama");
  EXPECT_EQ(llama.num_kv_heads, 32);
  EXPECT_EQ(llama.max_position_embeddings, 2048);
  EXPECT_EQ(llama.rms_norm_eps, 1e-6);
  EXPECT_EQ(llama.rope, RopeConfig());
  EXPECT_FALSE(llama.tie_word_embeddings);
  EXPECT_TRUE(llama.eos_token_ids.empty());
  const ModelConfig mistral = parse("mistral");
  EXPECT_EQ(mistral.num_kv_heads, 8);
  EXPECT_EQ(mistral.max_position_embeddings, 131072);
  EXPECT_EQ(mistral.sliding_window, std::vector<int32_t>(30, 4096));
  EXPECT_EQ(parse("qwen2").head_dim, 128);
  EXPECT_EQ(parse("qwen2").max_position_embeddings, 32768);
  EXPECT_EQ(parse("qwen2").sliding_window, std::vector<int32_t>(30, 0));
  EXPECT_EQ(parse("qwen3").head_dim, 128);
}

TEST(ModelConfigTest, UnknownArchitecturesAreNamed) {
  const auto code = absl::StatusCode::kUnimplemented;
  ExpectError(Parse("gemma3", ""), code, "\"model_type\" is \"gemma3\"");
  ExpectError(Parse("llama", R"(,"architectures":["LlamaForSequenceClassification"])"), code,
              "\"architectures\" is \"LlamaForSequenceClassification\"");
  ExpectError(Parse("mixtral", R"(,"architectures":["MixtralForCausalLM"])"), code,
              "MixtralForCausalLM");
  ExpectError(Parse("qwen2", R"(,"architectures":["LlamaForCausalLM"])"),
              absl::StatusCode::kInvalidArgument, "but \"model_type\" is qwen2");
  ExpectError(ParseText("{}"), absl::StatusCode::kInvalidArgument, "neither");
  ExpectError(Parse("llama", R"(,"architectures":[])"), absl::StatusCode::kInvalidArgument,
              "list of one name");
  EXPECT_TRUE(Parse("llama", R"(,"architectures":null)").ok());
}

TEST(ModelConfigTest, WhatChangesTheResultIsRefusedByName) {
  for (const char* field :
       {R"("hidden_act":"relu")",
        R"("pretraining_tp":2)",
        R"("partial_rotary_factor":0.5)",
        R"("attn_logit_softcapping":50.0)",
        R"("final_logit_softcapping":30)",
        R"("use_mrope":true)",
        R"("num_local_experts":8)",
        R"("vision_config":{"depth":2})",
        R"("clip_qkv":8.0)",
        R"("attention_multiplier":0.0078125)",
        R"("residual_multiplier":0.22)",
        R"("is_causal":false)",
        R"("pruned_heads":{"0":[1]})",
        R"("no_rope_layers":[1,0])",
        R"("quantization_config":{"quant_method":"fp8"})",
        R"("sliding_window":4096)",
        R"("layer_types":["full_attention","linear_attention",""])",
        R"("rope_scaling":{"type":"longrope","factor":4.0})",
        R"("rope_scaling":{"type":"mrope","mrope_section":[16,24,24]})",
        R"("rope_scaling":{"rope_type":"linear","factor":2.0,"new_knob":1})",
        R"("rope_parameters":{"full_attention":{"rope_type":"default"}})",
        R"("rope_parameters":{"rope_type":"default","partial_rotary_factor":0.25})"}) {
    const auto config = Parse("llama", absl::StrCat(",", field));
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented)
        << field << ": " << config.status();
    // The message names the field.
    const std::string name = std::string(field).substr(0, std::string(field).find(':'));
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(name));
  }
  ExpectError(Parse("mistral", R"(,"attention_bias":true)"), absl::StatusCode::kUnimplemented,
              "\"attention_bias\" is true");
  ExpectError(Parse("qwen2", R"(,"attention_bias":false)"), absl::StatusCode::kUnimplemented,
              "\"attention_bias\" is false");
  ExpectError(Parse("qwen3", R"(,"mlp_bias":true)"), absl::StatusCode::kUnimplemented, "mlp_bias");
}

TEST(ModelConfigTest, NeutralValuesAndBookkeepingAreAccepted) {
  const auto config = Parse(
      "llama",
      R"(,"pretraining_tp":1,"partial_rotary_factor":1.0,"attn_logit_softcapping":null,)"
      R"("use_mrope":false,"sliding_window":null,"quantization_config":null,"pruned_heads":{},)"
      R"("layer_types":["full_attention","full_attention","full_attention"],"is_causal":true,)"
      R"("_name_or_path":"x","auto_map":{"AutoModel":"m"},"use_cache":false,"unsloth_fixed":true,)"
      R"("initializer_range":0.5,"attention_dropout":0.3,"hidden_act":"swish",)"
      R"("rope_scaling":null,"rope_parameters":{"rope_type":"default","rope_theta":20000},)"
      R"("dtype":"float16","eos_token_id":null,"pad_token_id":-1)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope.theta, 20000);
  EXPECT_EQ(config->dtype, DType::kF16);
  EXPECT_TRUE(config->eos_token_ids.empty());
  EXPECT_FALSE(config->pad_token_id.has_value());
}

TEST(ModelConfigTest, ActivationsByTheirNames) {
  const auto activation = [](const char* name) {
    return Parse("llama", absl::StrCat(",\"hidden_act\":\"", name, "\""))->activation;
  };
  EXPECT_EQ(activation("silu"), GateActivation::kSilu);
  EXPECT_EQ(activation("gelu"), GateActivation::kGelu);
  EXPECT_EQ(activation("gelu_pytorch_tanh"), GateActivation::kGeluTanh);
  EXPECT_EQ(activation("gelu_new"), GateActivation::kGeluTanh);
}

TEST(ModelConfigTest, BiasesFollowTheArchitecture) {
  const auto llama = Parse("llama", R"(,"attention_bias":true,"mlp_bias":true)");
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_TRUE(llama->qkv_bias && llama->output_bias && llama->mlp_bias);
  const auto qwen3 = Parse("qwen3", R"(,"attention_bias":true)");
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_TRUE(qwen3->qkv_bias && qwen3->output_bias);
  EXPECT_FALSE(qwen3->mlp_bias);
}

TEST(ModelConfigTest, SlidingWindowsByLayer) {
  const auto windows = [](const std::string& type, const std::string& fields) {
    const auto config = Parse(type, "," + fields);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->sliding_window : std::vector<int32_t>();
  };
  EXPECT_THAT(windows("qwen2", R"("use_sliding_window":true,"sliding_window":64,)"
                               R"("max_window_layers":1)"),
              ElementsAre(0, 64, 64));
  EXPECT_THAT(windows("qwen3", R"("use_sliding_window":true,"sliding_window":64)"),
              ElementsAre(0, 0, 0));
  EXPECT_THAT(windows("qwen2", R"("use_sliding_window":true,"max_window_layers":0)"),
              ElementsAre(4096, 4096, 4096));
  EXPECT_THAT(windows("qwen3", R"("use_sliding_window":true,"sliding_window":8,"layer_types":)"
                               R"(["sliding_attention","full_attention","sliding_attention"])"),
              ElementsAre(8, 0, 8));
  EXPECT_THAT(windows("mistral", R"("sliding_window":null)"), ElementsAre(0, 0, 0));
  ExpectError(Parse("qwen3", R"(,"layer_types":["sliding_attention","full_attention",)"
                             R"("full_attention"])"),
              absl::StatusCode::kUnimplemented, "in layer 0");
  ExpectError(Parse("mistral", R"(,"layer_types":["sliding_attention","full_attention",)"
                               R"("sliding_attention"])"),
              absl::StatusCode::kUnimplemented, "in layer 1");
  ExpectError(Parse("qwen3", R"(,"layer_types":["full_attention"])"),
              absl::StatusCode::kInvalidArgument, "1 entries for 3 layers");
  ExpectError(Parse("mistral", R"(,"sliding_window":0)"), absl::StatusCode::kInvalidArgument,
              "\"sliding_window\" must be in [1,");
}

TEST(ModelConfigTest, RopeSettingsAreChecked) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const auto rope = [](const std::string& fields) {
    return Parse("llama", R"(,"rope_scaling":)" + fields);
  };
  ExpectError(rope(R"({"type":"linear"})"), code, "\"rope_scaling\": \"factor\" is missing");
  ExpectError(rope(R"({"type":"linear","factor":0.5})"), code, "\"factor\" must be in [1,");
  ExpectError(rope(R"({"type":"linear","factor":"2"})"), code, "must be a number");
  ExpectError(rope(R"({"type":"linear","rope_type":"yarn","factor":2})"), code,
              "\"type\" is \"linear\", but \"rope_type\" is \"yarn\"");
  ExpectError(rope(R"({"type":"llama3","factor":8})"), code, "\"low_freq_factor\" is missing");
  ExpectError(rope(R"({"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4})"),
              code, "below \"high_freq_factor\"");
  ExpectError(rope(R"({"type":"yarn","factor":8,"beta_fast":1,"beta_slow":2})"), code,
              "must not be below");
  ExpectError(rope(R"("yarn")"), code, "\"rope_scaling\": must be an object");
  ExpectError(Parse("llama", R"(,"rope_theta":0)"), code, "\"rope_theta\" must be in");
  ExpectError(Parse("llama", R"(,"rope_theta":5,"rope_parameters":{"rope_theta":6})"), code,
              "5 at the top level");
  ExpectError(Parse("llama", R"(,"rope_scaling":{"type":"linear","factor":2},)"
                             R"("rope_parameters":{"rope_type":"linear","factor":3})"),
              code, "contradict");
  EXPECT_TRUE(Parse("llama", R"(,"rope_scaling":{"type":"linear","factor":2},)"
                             R"("rope_parameters":{"rope_type":"linear","factor":2})")
                  .ok());
  const auto yarn = rope(R"({"type":"yarn","factor":4,"beta_fast":null,"beta_slow":0})");
  ASSERT_TRUE(yarn.ok()) << yarn.status();
  EXPECT_EQ(yarn->rope.original_max_position_embeddings, 2048);
  EXPECT_EQ(yarn->rope.beta_fast, 32);
  EXPECT_EQ(yarn->rope.beta_slow, 1);
}

TEST(ModelConfigTest, SizesAreBounded) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const auto with = [](const std::string& key, const std::string& value) {
    std::string text = absl::StrCat("{\"model_type\":\"llama\",", kSizes, "}");
    const size_t begin = text.find("\"" + key + "\":") + key.size() + 3;
    const size_t end = text.find_first_of(",}", begin);
    return ParseText(text.replace(begin, end - begin, value));
  };
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads", "vocab_size"}) {
    for (const char* value :
         {"0", "-1", "2147483648", "9223372036854775807", "1e300", "1.5", "\"8\"", "[8]", "true"}) {
      ExpectError(with(key, value), code, absl::StrCat("\"", key, "\""));
    }
  }
  ExpectError(with("hidden_size", "null"), code, "\"hidden_size\"");
  ExpectError(with("num_key_value_heads", "3"), code, "must be a multiple");
  ExpectError(with("hidden_size", "65"), code, "must be a multiple");
  ExpectError(with("hidden_size", "24"), code, "head dimension must be even");
  EXPECT_EQ(with("num_key_value_heads", "null")->num_kv_heads, 8);
  ExpectError(Parse("llama", R"(,"head_dim":7)"), code, "must be even");
  ExpectError(Parse("llama", R"(,"head_dim":8192)"), code, "\"head_dim\"");
  ExpectError(Parse("llama", R"(,"rms_norm_eps":0)"), code, "\"rms_norm_eps\"");
  ExpectError(Parse("llama", R"(,"rms_norm_eps":1e400)"), code, "");
  EXPECT_EQ(Parse("llama", R"(,"head_dim":6)")->head_dim, 6);
}

TEST(ModelConfigTest, TokenIds) {
  EXPECT_THAT(Parse("llama", R"(,"eos_token_id":[2,7,2,-1])")->eos_token_ids, ElementsAre(2, 7));
  EXPECT_EQ(Parse("llama", R"(,"bos_token_id":[5])")->bos_token_id, 5);
  const auto code = absl::StatusCode::kInvalidArgument;
  ExpectError(Parse("llama", R"(,"eos_token_id":"</s>")"), code, "\"eos_token_id\"");
  ExpectError(Parse("llama", R"(,"eos_token_id":[1.5])"), code, "\"eos_token_id\"");
  ExpectError(Parse("llama", R"(,"eos_token_id":4294967296)"), code, "\"eos_token_id\"");
  ExpectError(Parse("llama", R"(,"bos_token_id":[1,2])"), code, "must be one token id");
}

TEST(ModelConfigTest, OwnQuantizationIsRead) {
  const auto parse = [](const std::string& fields) {
    return Parse("llama", R"(,"quantization_config":{"quant_method":"llmcore",)" + fields + "}");
  };
  const std::string rest = R"("format_version":1,"block_size":128,"layout":"rows")";
  const auto int4 = parse(R"("format":"int4",)" + rest);
  ASSERT_TRUE(int4.ok()) << int4.status();
  EXPECT_EQ(int4->quantization->format, WeightFormat::kInt4);
  EXPECT_FALSE(int4->quantization->packed());
  const auto packed =
      parse(R"("format":"int4","format_version":1,"block_size":128,"layout":"cpu-int4-v1")");
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_TRUE(packed->quantization->packed());
  EXPECT_EQ(packed->quantization->layout, "cpu-int4-v1");
  EXPECT_EQ(parse(R"("format":"int8",)" + rest)->quantization->format, WeightFormat::kInt8);
  const auto code = absl::StatusCode::kUnimplemented;
  ExpectError(parse(R"("format":"int3",)" + rest), code, "\"int3\"");
  ExpectError(parse(R"("format":"int4","zero_point":true,)" + rest), code,
              "\"zero_point\" is true");
  ExpectError(parse(R"("format":"int4","format_version":2,"block_size":128,"layout":"rows")"), code,
              "\"format_version\" is 2");
  ExpectError(parse(R"("format":"int4","format_version":1,"block_size":64,"layout":"rows")"), code,
              "\"block_size\" is 64");
  ExpectError(parse(R"("format":"int4")"), absl::StatusCode::kInvalidArgument,
              "\"format_version\" is missing");
}

TEST(ModelConfigTest, QuantizationOfAwqAndGptqIsRead) {
  using Method = StoredQuantization::Method;
  const auto parse = [](const std::string& fields) {
    return Parse("qwen2", R"(,"quantization_config":{)" + fields + "}");
  };
  // As Qwen publishes them.
  const auto awq =
      parse(R"("bits":4,"group_size":128,"modules_to_not_convert":null,"quant_method":"awq",)"
            R"("version":"gemm","zero_point":true)");
  ASSERT_TRUE(awq.ok()) << awq.status();
  EXPECT_EQ(awq->quantization->method, Method::kAwq);
  EXPECT_EQ(awq->quantization->format, WeightFormat::kInt4Zeros);
  EXPECT_EQ(awq->quantization->group_size, 128);
  EXPECT_EQ(awq->quantization->zero_offset, 0);
  EXPECT_FALSE(awq->quantization->packed());
  const auto gptq = parse(
      R"("batch_size":1,"bits":4,"block_name_to_quantize":null,"damp_percent":0.01,)"
      R"("dataset":null,"desc_act":false,"exllama_config":{"version":1},"group_size":128,)"
      R"("modules_in_block_to_quantize":null,"quant_method":"gptq","sym":true,"tokenizer":null,)"
      R"("true_sequential":true,"use_exllama":true)");
  ASSERT_TRUE(gptq.ok()) << gptq.status();
  EXPECT_EQ(gptq->quantization->method, Method::kGptq);
  EXPECT_EQ(gptq->quantization->format, WeightFormat::kInt4Zeros);
  EXPECT_EQ(gptq->quantization->zero_offset, 1);
  EXPECT_FALSE(gptq->quantization->needs_g_idx);

  const std::string awq_bits = R"("quant_method":"awq","bits":4)";
  for (const char* fields :
       {R"("version":"GEMM")", R"("version":null,"zero_point":false)", R"("backend":"autoawq")",
        R"("do_fuse":false,"modules_to_fuse":null,"modules_to_not_convert":["lm_head"])"}) {
    EXPECT_TRUE(parse(absl::StrCat(awq_bits, ",", fields)).ok()) << fields;
  }
  EXPECT_EQ(parse(awq_bits + R"(,"group_size":-1)")->quantization->group_size, 0);
  EXPECT_EQ(parse(awq_bits + R"(,"group_size":1024)")->quantization->group_size, 1024);
  const std::string gptq_bits = R"("quant_method":"gptq","bits":4)";
  EXPECT_TRUE(parse(gptq_bits + R"(,"desc_act":true,"sym":false)")->quantization->needs_g_idx);
  EXPECT_EQ(parse(gptq_bits + R"(,"checkpoint_format":"gptq")")->quantization->zero_offset, 1);
  EXPECT_EQ(parse(gptq_bits + R"(,"checkpoint_format":"gptq_v2")")->quantization->zero_offset, 0);
  EXPECT_EQ(parse(gptq_bits + R"(,"format":"gptq_v2")")->quantization->zero_offset, 0);
  EXPECT_TRUE(parse(gptq_bits + R"(,"dynamic":null,"is_marlin_format":false,"lm_head":true)").ok());
}

TEST(ModelConfigTest, QuantizationThatIsNotUnderstoodIsRefusedByName) {
  const auto parse = [](const std::string& fields) {
    return Parse("qwen2", R"(,"quantization_config":{)" + fields + "}");
  };
  const auto code = absl::StatusCode::kUnimplemented;
  for (const std::string method :
       {"fp8", "bitsandbytes", "compressed-tensors", "hqq", "aqlm", "intel/auto-round", "GPTQ"}) {
    ExpectError(parse(absl::StrCat("\"quant_method\":\"", method, "\",\"bits\":4")), code,
                absl::StrCat("\"quantization_config\": \"quant_method\" is \"", method, "\""));
  }
  for (const std::string method : {"awq", "gptq"}) {
    const std::string begin = absl::StrCat("\"quant_method\":\"", method, "\"");
    for (const char* field : {R"("bits":3)", R"("bits":8)", R"("bits":4,"group_size":64)",
                              R"("bits":4,"group_size":32)", R"("bits":4,"group_size":0)",
                              R"("bits":4,"group_size":-128)", R"("bits":4,"group_size":200)",
                              R"("bits":4,"group_size":1099511627776)"}) {
      const std::string text = absl::StrCat(begin, ",", field);
      const std::string last = text.substr(text.rfind(',') + 1);
      ExpectError(parse(text), code, absl::StrReplaceAll(last, {{":", " is "}}));
    }
    ExpectError(parse(begin), absl::StatusCode::kInvalidArgument, "\"bits\" is missing");
  }
  for (const std::string version : {"gemv", "gemv_fast", "marlin", "exllama", "ipex"}) {
    ExpectError(parse(R"("quant_method":"awq","bits":4,"version":")" + version + "\""), code,
                absl::StrCat("\"version\" is \"", version, "\""));
  }
  ExpectError(parse(R"("quant_method":"awq","bits":4,"backend":"llm-awq")"), code,
              "\"backend\" is \"llm-awq\"");
  ExpectError(parse(R"("quant_method":"awq","bits":4,"zero_point":"yes")"),
              absl::StatusCode::kInvalidArgument, "\"zero_point\"");
  for (const auto& [field, error] :
       {std::pair(R"("checkpoint_format":"marlin")", "\"checkpoint_format\" is \"marlin\""),
        std::pair(R"("format":"bitblas")", "\"format\" is \"bitblas\""),
        std::pair(R"("is_marlin_format":true)", "\"is_marlin_format\" is true"),
        std::pair(R"("dynamic":{"-:.*down.*":{}})", "\"dynamic\" is"),
        std::pair(R"("data_type":"fp")", "\"data_type\" is \"fp\""),
        std::pair(R"("pack_dtype":"int16")", "\"pack_dtype\" is \"int16\"")}) {
    ExpectError(parse(absl::StrCat(R"("quant_method":"gptq","bits":4,)", field)), code, error);
  }
}

TEST(ModelConfigTest, FilesAreNamedInErrors) {
  const TemporaryDirectory directory;
  const auto load = [&directory] { return LoadModelConfig(directory.path()); };
  ExpectError(load(), absl::StatusCode::kNotFound, "has no config.json");
  ExpectError(LoadModelConfig(directory.path() + "/none"), absl::StatusCode::kNotFound,
              "there is no directory");
  const std::string path = directory.Write("config.json", "");
  ExpectError(load(), absl::StatusCode::kInvalidArgument, path);
  directory.Write("config.json", "[]");
  ExpectError(load(), absl::StatusCode::kInvalidArgument, path);
  directory.Write("config.json", R"({"model_type":"bert"})");
  ExpectError(load(), absl::StatusCode::kUnimplemented, path + ": \"model_type\" is \"bert\"");
}

TEST(ModelConfigTest, QuantizationMayBeInAFileOfItsOwn) {
  const std::string sizes = absl::StrCat("{\"model_type\":\"llama\",", kSizes);
  for (const auto& [name, text] :
       {std::pair("quantize_config.json",
                  R"({"bits":4,"group_size":128,"damp_percent":0.01,"desc_act":false,"sym":true})"),
        std::pair("quant_config.json",
                  R"({"zero_point":true,"q_group_size":128,"w_bit":4,"version":"GEMM"})")}) {
    const TemporaryDirectory directory;
    directory.Write("config.json", sizes + "}");
    const std::string path = directory.Write(name, text);
    const auto config = LoadModelConfig(directory.path());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->quantization->format, WeightFormat::kInt4Zeros) << name;
    EXPECT_EQ(config->quantization->zero_offset, name[5] == 'i' ? 1 : 0) << name;
    directory.Write(name, absl::StrReplaceAll(text, {{":128", ":64"}}));
    ExpectError(LoadModelConfig(directory.path()), absl::StatusCode::kUnimplemented,
                absl::StrCat(path, ": \"", name[5] == 'i' ? "" : "q_", "group_size\" is 64"));
    // config.json has the last word.
    directory.Write("config.json",
                    sizes + R"(,"quantization_config":{"quant_method":"gptq","bits":4}})");
    EXPECT_TRUE(LoadModelConfig(directory.path()).ok());
  }
}

TEST(ModelConfigTest, TruncatedAndFlippedTextsNeverCrash) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const std::string text = absl::StrCat(
      "{\"model_type\":\"qwen3\",", kSizes,
      R"(,"use_sliding_window":true,"sliding_window":8,"max_window_layers":1,"eos_token_id":[1,2],)"
      R"("rope_scaling":{"type":"yarn","factor":4.0,"beta_fast":32,"truncate":false},)"
      R"("quantization_config":{"quant_method":"llmcore","format":"int4","format_version":1,)"
      R"("block_size":128,"layout":"rows"}})");
  ASSERT_TRUE(ParseText(text).ok()) << ParseText(text).status();
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(ParseText(text.substr(0, length)).ok()) << length;
  }
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = text;
    const int flips = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < flips; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto config = ParseText(bytes);
    if (!config.ok()) continue;
    ASSERT_EQ(config->sliding_window.size(), static_cast<size_t>(config->num_layers));
    ASSERT_EQ(config->num_heads % config->num_kv_heads, 0);
  }
}

}  // namespace
}  // namespace llmcore::core
