// Steps that are recorded and launched as graphs: the very bits of steps that are launched
// operation by operation, which they are as long as a model is traced.
#include "cuda/step_graphs.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

#include "lib/backend/cuda_backend.h"
#include "lib/engine/engine.h"
#include "lib/session/session.h"
#include "tests/conformance/harness.h"
#include "tests/cuda_emulator/runtime.h"

namespace llmcore::core {
namespace {

constexpr bool kSlow = conformance::kSlowBuild;

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

ModelOptions Options() {
  ModelOptions options;
  options.device = "cuda";
  options.kv_cache_tokens = 2048;
  options.max_context = 128;
  options.max_batch_tokens = 64;
  options.prefix_cache = false;  // what is done twice has the same steps twice
  return options;
}

std::shared_ptr<const Model> Load(const ModelOptions& options) {
  auto model = Model::Load(Abacus(), options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

std::unique_ptr<Session> NewSession(const std::shared_ptr<const Model>& model) {
  auto session = Session::Create(model);
  EXPECT_TRUE(session.ok()) << session.status();
  return *std::move(session);
}

std::vector<TokenId> Tokens(size_t count, TokenId first) {
  std::vector<TokenId> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = (first + static_cast<TokenId>(i * 7)) % 500;
  return tokens;
}

GenerationParams Params(float temperature, int64_t tokens) {
  GenerationParams params;
  params.temperature = temperature;
  params.seed = 11;
  params.max_tokens = tokens;
  params.ignore_eos = true;
  return params;
}

// All that a model said, to be compared bit by bit.
class Transcript {
 public:
  void Add(std::span<const float> values) {
    for (const float value : values) {
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      said_.push_back(bits);
    }
  }
  void Add(std::span<const TokenId> tokens) {
    for (const TokenId token : tokens) said_.push_back(static_cast<uint32_t>(token));
  }
  void Add(const Transcript& other) {
    said_.insert(said_.end(), other.said_.begin(), other.said_.end());
  }
  void AddLogits(Session& session) {
    const auto logits = session.Logits();
    ASSERT_TRUE(logits.ok()) << logits.status();
    Add(*logits);
  }
  void AddReply(Session& session, const GenerationParams& params) {
    ASSERT_TRUE(session.StartGeneration(params).ok());
    while (session.generating()) {
      const auto event = session.NextEvent();
      ASSERT_TRUE(event.ok()) << event.status();
      if (!event->has_token) continue;
      Add(std::span(&event->token, 1));
      Add(std::span(&event->logprob, 1));
    }
  }
  bool operator==(const Transcript&) const = default;
  size_t size() const { return said_.size(); }

 private:
  std::vector<uint32_t> said_;
};

// Sequences that join and leave, forks, truncation, blocks that begin (every 32 positions), tokens
// of the device and of the host, prompts of several sizes.
Transcript Converse(const std::shared_ptr<const Model>& model) {
  Transcript said;
  const std::unique_ptr<Session> session = NewSession(model);
  EXPECT_TRUE(session->AppendTokens(Tokens(27, 3)).ok());
  said.AddReply(*session, Params(0, kSlow ? 4 : 10));
  said.AddReply(*session, Params(1.3f, kSlow ? 2 : 6));
  for (TokenId token = 40; token < (kSlow ? 42 : 45); ++token) {
    EXPECT_TRUE(session->AppendTokens(std::span(&token, 1)).ok());
    said.AddLogits(*session);
  }
  auto fork = session->Fork();
  EXPECT_TRUE(fork.ok());
  EXPECT_TRUE((*fork)->AppendTokens(Tokens(1, 77)).ok());
  EXPECT_TRUE(session->AppendTokens(Tokens(1, 78)).ok());
  said.AddLogits(**fork);
  said.AddLogits(*session);
  EXPECT_TRUE(session->Truncate(30).ok());
  for (TokenId token = 90; token < 93; ++token) {
    EXPECT_TRUE(session->AppendTokens(std::span(&token, 1)).ok());
    said.AddLogits(*session);
  }
  // Some rows of one sequence.
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE((*fork)->AppendTokens(Tokens(4, 100 + i)).ok());
    std::vector<float> rows;
    EXPECT_TRUE((*fork)->AllLogits((*fork)->tokens().size() - 3, &rows).ok());
    said.Add(rows);
  }
  const auto of_prompt = (*fork)->LogprobsOfTokens(1);
  EXPECT_TRUE(of_prompt.ok()) << of_prompt.status();
  if (of_prompt.ok()) said.Add(std::span(of_prompt->logprobs).subspan(1));
  GenerationParams several = Params(1.2f, kSlow ? 2 : 6);
  several.ignore_eos = false;
  const auto answers = session->SampleAnswers(several, {3, 3});
  EXPECT_TRUE(answers.ok()) << answers.status();
  if (answers.ok()) {
    for (const Answer& answer : *answers) {
      said.Add(answer.tokens);
      said.Add(answer.logprobs);
    }
  }
  return said;
}

// Replies of sequences of different lengths at once, some drawn on the host.
Transcript ConverseAtOnce(const std::shared_ptr<const Model>& model) {
  std::vector<Transcript> replies(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < replies.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::unique_ptr<Session> session = NewSession(model);
      EXPECT_TRUE(session->AppendTokens(Tokens(5 + 9 * i, static_cast<TokenId>(i))).ok());
      GenerationParams params =
          Params(0.3f * static_cast<float>(i), static_cast<int64_t>(3 + 4 * i));
      if (i == 2) params.logprobs = 2;
      replies[i].AddReply(*session, params);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Transcript said;
  for (const Transcript& reply : replies) said.Add(reply);
  return said;
}

class StepGraphsTest : public testing::Test {
 protected:
  void SetUp() override {
    cuda_emulator::ResetDevice();
    graphs_ = cuda_emulator::Graphs();
  }
  void TearDown() override {
    EXPECT_EQ(cuda_emulator::Graphs(), graphs_) << "not destroyed";
    cuda_emulator::ResetDevice();
  }
  int64_t graphs_ = 0;
};

void ExpectTheSameBits(const ModelOptions& options) {
  const auto model = Load(options);
  ASSERT_NE(model, nullptr);
  const int64_t before = cuda_emulator::GraphLaunches();
  model->SetTrace(true);
  const Transcript expected = Converse(model);
  const Transcript expected_at_once = ConverseAtOnce(model);
  ASSERT_GT(expected.size(), 100u);
  ASSERT_EQ(cuda_emulator::GraphLaunches(), before);
  model->SetTrace(false);
  EXPECT_TRUE(Converse(model) == expected);
  const int64_t first = cuda_emulator::GraphLaunches() - before;
  EXPECT_GT(first, 5);
  const int64_t captures = cuda_emulator::Captures();
  const int64_t launches = cuda_emulator::Launches();
  EXPECT_TRUE(Converse(model) == expected);
  EXPECT_GT(cuda_emulator::GraphLaunches() - before, 2 * first);
  EXPECT_GT(cuda_emulator::Captures(), captures);  // of what came once before
  const int64_t again = cuda_emulator::Launches();
  EXPECT_TRUE(Converse(model) == expected);
  // Nothing is left but copies of blocks that sequences share.
  EXPECT_LT(cuda_emulator::Launches() - again, 8);
  EXPECT_GT(again, launches);
  for (int i = 0; i < (kSlow ? 1 : 3); ++i) {
    EXPECT_TRUE(ConverseAtOnce(model) == expected_at_once) << i;
  }
}

TEST_F(StepGraphsTest, RecordedStepsHaveTheBitsOfOthers) {
  ExpectTheSameBits(Options());
}

TEST_F(StepGraphsTest, SoDoStepsOnCodes) {
  ModelOptions options = Options();
  options.weight_format = WeightFormat::kInt4;
  options.kv_format = KvFormat::kInt8;
  ExpectTheSameBits(options);
}

// Replies in turns of two sequences that fit the pool one at a time: each turn takes the blocks of
// the other, and gets its own back from the host before a graph reads them.
TEST_F(StepGraphsTest, SwappedSequencesHaveTheirBits) {
  constexpr int kTurns = kSlow ? 4 : 8;
  const auto in_turns = [](const std::shared_ptr<const Model>& model) {
    const std::unique_ptr<Session> sessions[] = {NewSession(model), NewSession(model)};
    Transcript said;
    for (TokenId i = 0; i < 2; ++i) {
      EXPECT_TRUE(sessions[i]->AppendTokens(Tokens(33, 5 + 60 * i)).ok());
    }
    for (int turn = 0; turn < kTurns; ++turn) {
      said.AddReply(*sessions[turn % 2], Params(0.4f, 4));
    }
    return said;
  };
  ModelOptions options = Options();
  const auto ample = Load(options);
  ASSERT_NE(ample, nullptr);
  ample->SetTrace(true);
  const Transcript expected = in_turns(ample);
  options.kv_cache_tokens = options.max_context = 64;
  options.swap_bytes = uint64_t{1} << 20;
  const auto scarce = Load(options);
  ASSERT_NE(scarce, nullptr);
  const int64_t launched = cuda_emulator::GraphLaunches();
  EXPECT_TRUE(in_turns(scarce) == expected);
  EXPECT_GE(cuda_emulator::GraphLaunches() - launched, kTurns);
  EXPECT_GE(scarce->engine().swap().in_blocks, kTurns - 2);
}

// A reply that crosses the first split of attention, 512 positions. Its sequence has new blocks
// every 32 positions and other rows of the rotary table each time, and two shapes in all.
TEST_F(StepGraphsTest, ALongReplyIsRecordedOnceASplit) {
  ModelOptions options = Options();
  options.max_context = 640;
  const auto model = Load(options);
  ASSERT_NE(model, nullptr);
  const int64_t count = kSlow ? 12 : 200;
  const auto reply = [&](Transcript* said) {
    const std::unique_ptr<Session> session = NewSession(model);
    EXPECT_TRUE(session->AppendTokens(Tokens(kSlow ? 507 : 412, 9)).ok());
    said->AddReply(*session, Params(0.8f, count));
  };
  Transcript expected;
  model->SetTrace(true);
  reply(&expected);
  model->SetTrace(false);
  const int64_t captures = cuda_emulator::Captures();
  const int64_t launched = cuda_emulator::GraphLaunches();
  Transcript said;
  reply(&said);
  EXPECT_TRUE(said == expected);
  // A shape that is new is launched as it is once. Of the prompt's steps there may be one more.
  EXPECT_GE(cuda_emulator::GraphLaunches() - launched, count - 4);
  EXPECT_LE(cuda_emulator::Captures() - captures, 3);
}

// The launch of a graph, one wait, and in the graph what a step otherwise is: the numbers, six
// launches a layer, embedding, the row, head, draw.
TEST_F(StepGraphsTest, ATokenIsOneLaunchAndOneWait) {
  const auto model = Load(Options());
  ASSERT_NE(model, nullptr);
  const std::unique_ptr<Session> session = NewSession(model);
  ASSERT_TRUE(session->AppendTokens(Tokens(5, 1)).ok());
  ASSERT_TRUE(session->StartGeneration(Params(0.9f, 10)).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(session->NextEvent().ok());
  const int64_t calls = cuda_emulator::Calls();
  const int64_t launches = cuda_emulator::Launches();
  const int64_t graphs = cuda_emulator::GraphLaunches();
  const int64_t nodes = cuda_emulator::GraphNodes();
  const int64_t waits = cuda_emulator::Waits();
  const int64_t captures = cuda_emulator::Captures();
  ASSERT_TRUE(session->NextEvent().ok());
  EXPECT_EQ(cuda_emulator::Launches() - launches, 0);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - graphs, 1);
  EXPECT_EQ(cuda_emulator::GraphNodes() - nodes, 6 * model->config().num_layers + 5);
  EXPECT_EQ(cuda_emulator::Waits() - waits, 1);
  EXPECT_EQ(cuda_emulator::Captures() - captures, 0);
  EXPECT_LE(cuda_emulator::Calls() - calls, 4);  // the device twice, the launch, the wait
}

// A plain step does not take what a graph left in the workspace for the batch that it sent before.
TEST_F(StepGraphsTest, PlainStepsGoOnBesideGraphs) {
  const auto model = Load(Options());
  ASSERT_NE(model, nullptr);
  const std::unique_ptr<Session> session = NewSession(model);
  ASSERT_TRUE(session->AppendTokens(Tokens(10, 1)).ok());
  const auto next = [&](TokenId token) {
    Transcript said;
    EXPECT_TRUE(session->AppendTokens(std::span(&token, 1)).ok());
    said.AddLogits(*session);
    return said;
  };
  for (TokenId token = 20; token < 23; ++token) (void)next(token);
  model->SetTrace(true);
  const Transcript plain = next(30);
  model->SetTrace(false);
  const int64_t launched = cuda_emulator::GraphLaunches();
  (void)next(31);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 1);
  model->SetTrace(true);
  ASSERT_TRUE(session->Truncate(13).ok());
  EXPECT_TRUE(next(30) == plain);
}

// Each call of steps that are recorded and launched fails in turn.
TEST_F(StepGraphsTest, FailuresAreErrorsOrChangeNothing) {
  const auto reply = [](Session& session, std::vector<TokenId>* tokens) -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(session.StartGeneration(Params(0, 4)));
    while (session.generating()) {
      LLMCORE_ASSIGN_OR_RETURN(const GenerationEvent event, session.NextEvent());
      if (event.has_token) tokens->push_back(event.token);
    }
    return absl::OkStatus();
  };
  std::vector<TokenId> expected;
  int64_t calls = 0;
  {
    const auto model = Load(Options());
    const std::unique_ptr<Session> session = NewSession(model);
    ASSERT_TRUE(session->AppendTokens(Tokens(5, 1)).ok());
    calls = cuda_emulator::Calls();
    ASSERT_TRUE(reply(*session, &expected).ok());
    calls = cuda_emulator::Calls() - calls;
  }
  int unnoticed = 0;
  int failed = 0;
  const int64_t step = calls / (kSlow ? 4 : 14);
  for (const cudaError_t error :
       {cudaErrorMemoryAllocation, cudaErrorStreamCaptureUnsupported, cudaErrorLaunchFailure}) {
    const auto model = Load(Options());
    const std::unique_ptr<Session> session = NewSession(model);
    ASSERT_TRUE(session->AppendTokens(Tokens(5, 1)).ok());
    for (int64_t call = 1; call <= calls; call += step) {
      const auto broken = error == cudaErrorLaunchFailure ? Load(Options()) : nullptr;
      const std::unique_ptr<Session> tried =
          broken != nullptr ? NewSession(broken) : *session->Fork();
      if (broken != nullptr) {
        ASSERT_TRUE(tried->AppendTokens(Tokens(5, 1)).ok());
      }
      cuda_emulator::FailCall(call, error);
      std::vector<TokenId> tokens;
      const absl::Status status = reply(*tried, &tokens);
      if (status.ok()) {
        ++unnoticed;
        EXPECT_EQ(tokens, expected) << "call " << call;
      } else {
        ++failed;
        EXPECT_NE(status.message().find("CUDA"), std::string::npos) << status;
      }
      cuda_emulator::ResetDevice();
      if (broken != nullptr) continue;
      // The model goes on.
      const auto again = session->Fork();
      tokens.clear();
      ASSERT_TRUE(reply(**again, &tokens).ok());
      EXPECT_EQ(tokens, expected) << "call " << call;
    }
  }
  EXPECT_GT(failed, 5);
  EXPECT_GT(unnoticed, 2);  // what fails in a capture is done without
}

// ---- Of the backend alone ----------------------------------------------------------------------

float Spread(conformance::Random* random) {
  return static_cast<float>((*random)() >> 8) / (1 << 23) - 1;  // -1 to 1
}

// A step of runs at any positions, with block tables of its own.
struct RandomStep {
  std::vector<int32_t> tokens, first_row, first_position, block_table, logit_rows, drawn_rows;
  std::vector<float> cos_sin;

  int32_t rows() const { return first_row.back(); }
  StepInput input(int32_t stride) const {
    StepInput input;
    input.tokens = tokens;
    input.batch = {first_row, first_position, block_table, stride};
    input.logit_rows = logit_rows;
    input.drawn_rows = drawn_rows;
    return input;
  }
};

// The operations of a step that take numbers: a token is its query, key and value.
class SmallDecoder {
 public:
  static constexpr int32_t kVocabulary = 64;
  static constexpr int32_t kHeads = 4;
  static constexpr int32_t kHeadDim = 16;
  static constexpr int32_t kColumns = kHeads * kHeadDim;
  static constexpr int32_t kMostRows = 8;
  static constexpr int32_t kContext = 1600;
  static constexpr int32_t kStride = kContext / 16;
  static constexpr int32_t kBlocks = 4 * kStride;

  SmallDecoder() {
    backend_ = *CreateCudaBackend(0);
    const StepLimits limits = {kMostRows, 2 * kColumns, kHeads,
                               kHeadDim,  kContext,     ActivationFormat::kAuto};
    const WeightShape shape = {WeightFormat::kF32, WeightKind::kPlain, kVocabulary, 2 * kColumns};
    weights_ = *backend_->Allocate(backend_->PackedWeightBytes(shape));
    workspace_ = *backend_->Allocate(backend_->WorkspaceBytes(limits));
    kv_ = *backend_->Allocate(backend_->KvBlockBytes(kKv) * kBlocks);
    rows_ = *backend_->Allocate(kMostRows * 8 * kColumns * sizeof(float));
    host_ = *backend_->AllocateHost(4096 + backend_->StepRecordBytes(limits));
    conformance::Random random(5);
    const auto draw = [&](size_t count) {
      std::vector<float> values(count);
      for (float& value : values) value = Spread(&random);
      return values;
    };
    const std::vector<float> table = draw(kVocabulary * 2 * kColumns);
    const SourceMatrix part = {reinterpret_cast<const std::byte*>(table.data()), DType::kF32,
                               kVocabulary, 2 * kColumns};
    EXPECT_TRUE(backend_->PackWeight(shape, {{part}}, weights_->data(), {}).ok());
    const std::vector<float> cached = draw(kv_->size() / sizeof(float));
    EXPECT_TRUE(backend_->CopyToDevice(kv_->data(), std::as_bytes(std::span(cached))).ok());
    table_ = {shape, weights_->data()};
    context_.workspace = {static_cast<std::byte*>(workspace_->data()), workspace_->size()};
    recorder_ = backend_->CreateStepRecorder(
        kHeads, kKv, {static_cast<std::byte*>(host_->data()) + 4096, host_->size() - 4096});
  }

  // All that the step wrote but the cache.
  std::vector<float> Run(const RandomStep& step, bool recorded) {
    auto* const cos_sin = static_cast<float*>(host_->data());
    std::copy(step.cos_sin.begin(), step.cos_sin.end(), cos_sin);
    auto* const data = static_cast<float*>(rows_->data());
    std::fill_n(data, rows_->size() / sizeof(float), 0.0f);
    const StepInput input = step.input(kStride);
    const auto operations = [&]() -> absl::Status {
      const int64_t rows = step.rows();
      const Matrix qkv = {data, rows, 2 * kColumns};
      const Matrix out = {data + kMostRows * 2 * kColumns, rows, kColumns};
      float* const wanted = out.data + kMostRows * kColumns;
      const KvCache cache = {kKv, kv_->data(), kBlocks};
      LLMCORE_RETURN_IF_ERROR(backend_->Embed(context_, {table_, input.tokens, qkv}));
      RopeAppendParams append;
      append.qkv = qkv;
      append.heads = kHeads;
      append.cos_sin = cos_sin;
      append.cache = cache;
      append.batch = input.batch;
      LLMCORE_RETURN_IF_ERROR(backend_->RopeAppend(context_, append));
      LLMCORE_RETURN_IF_ERROR(
          backend_->Attention(context_, {qkv, kHeads, 0.25f, 0, cache, 0, input.batch, out}));
      for (const std::span<const int32_t> some : {input.logit_rows, input.drawn_rows}) {
        if (some.empty()) continue;
        float* const to =
            some.data() == input.logit_rows.data() ? wanted : wanted + kMostRows * kColumns;
        LLMCORE_RETURN_IF_ERROR(backend_->GatherRows(
            context_, {out, some, {to, static_cast<int64_t>(some.size()), kColumns}}));
      }
      return absl::OkStatus();
    };
    const absl::Status status =
        recorded ? recorder_->Run(context_, input, operations) : operations();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(backend_->Synchronize().ok());
    return {data, data + rows_->size() / sizeof(float)};
  }

  std::span<const std::byte> cache() const {
    return {static_cast<const std::byte*>(kv_->data()), kv_->size()};
  }

 private:
  static constexpr KvShape kKv = {KvFormat::kF32, 1, 2, kHeadDim, 16};

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<DeviceMemory> weights_, workspace_, kv_, rows_, host_;
  PackedWeight table_;
  StepContext context_;
  std::unique_ptr<StepRecorder> recorder_;
};

RandomStep DrawStep(conformance::Random* random) {
  // Equal numbers of rows in different runs among them.
  static const std::vector<int32_t> kRuns[] = {{1},    {4},    {2, 2}, {1, 1, 1, 1},
                                               {3, 1}, {1, 3}, {1, 1}, {6, 2}};
  const auto below = [&](size_t end) {
    return conformance::Below(random, static_cast<int32_t>(end));
  };
  RandomStep step;
  step.first_row = {0};
  std::vector<int32_t> blocks(SmallDecoder::kBlocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), *random);
  for (const int32_t count : kRuns[below(std::size(kRuns))]) {
    // Mostly in the first two splits, so that shapes come again.
    const int32_t context = below(4) == 0 ? SmallDecoder::kContext : below(2) == 0 ? 600 : 60;
    step.first_row.push_back(step.first_row.back() + count);
    step.first_position.push_back(below(static_cast<size_t>(context - count)));
  }
  const auto sequences = step.first_position.size();
  step.block_table.assign(
      blocks.begin(), blocks.begin() + static_cast<ptrdiff_t>(sequences * SmallDecoder::kStride));
  for (int32_t row = 0; row < step.rows(); ++row) {
    step.tokens.push_back(below(SmallDecoder::kVocabulary));
    for (int i = 0; i < SmallDecoder::kHeadDim; ++i) {
      step.cos_sin.push_back(Spread(random));
    }
  }
  const auto rows = static_cast<size_t>(step.rows());
  for (int32_t i = below(3) == 0 ? 0 : 1; i > 0; --i) step.logit_rows.push_back(below(rows));
  for (int32_t i = below(3) == 0 ? 1 : 0; i > 0; --i) step.drawn_rows.push_back(below(rows));
  return step;
}

TEST_F(StepGraphsTest, RandomStepsHaveTheBitsOfPlainOnes) {
  SmallDecoder plain;
  SmallDecoder recorded;
  conformance::Random random(17);
  const int64_t launched = cuda_emulator::GraphLaunches();
  const int64_t captures = cuda_emulator::Captures();
  const int steps = kSlow ? 60 : 400;
  for (int i = 0; i < steps; ++i) {
    const RandomStep step = DrawStep(&random);
    const std::vector<float> expected = plain.Run(step, false);
    const std::vector<float> given = recorded.Run(step, true);
    ASSERT_EQ(std::memcmp(given.data(), expected.data(), given.size() * sizeof(float)), 0) << i;
    ASSERT_EQ(std::memcmp(recorded.cache().data(), plain.cache().data(), plain.cache().size()), 0)
        << i;
  }
  EXPECT_GT(cuda_emulator::Captures() - captures, steps / 20);
  EXPECT_GT(cuda_emulator::GraphLaunches() - launched, steps / 4);
}

struct Rig {
  Rig() {
    backend = *CreateCudaBackend(0);
    memory = *backend->Allocate(1 << 16);
    host = *backend->AllocateHost(1 << 16);
    workspace = *backend->Allocate(1 << 20);
    const WeightShape shape = {WeightFormat::kF32, WeightKind::kPlain, 16, 8};
    table = {shape, memory->data()};
    std::vector<float> values(16 * 8);
    std::iota(values.begin(), values.end(), 0.0f);
    const SourceMatrix part = {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, 16,
                               8};
    EXPECT_TRUE(backend->PackWeight(shape, {{part}}, memory->data(), {}).ok());
    out = {static_cast<float*>(host->data()), 1, 8};
    context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};
    recorder = backend->CreateStepRecorder(
        1, {KvFormat::kF32, 1, 1, 8, 16},
        {static_cast<std::byte*>(host->data()) + 1024, host->size() - 1024});
  }
  // Embeds `embedded` in a step whose token is `token`.
  absl::Status Run(const int32_t& token, std::span<const int32_t> embedded) {
    StepInput input;
    input.tokens = std::span(&token, 1);
    input.batch = {first_row, first_position, block_table, 1};
    return recorder->Run(context, input, [&] {
      return backend->Embed(context, {table, embedded, out});
    });
  }
  float First() {
    EXPECT_TRUE(backend->Synchronize().ok());
    return out.data[0];
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<DeviceMemory> memory;
  std::unique_ptr<DeviceMemory> host;
  std::unique_ptr<DeviceMemory> workspace;
  PackedWeight table;
  Matrix out;
  StepContext context;
  std::unique_ptr<StepRecorder> recorder;  // destroyed first
  const std::vector<int32_t> first_row = {0, 1};
  const std::vector<int32_t> first_position = {0};
  const std::vector<int32_t> block_table = {0};
};

// Steps of many sizes, each twice: as many shapes as are remembered have graphs, and no more.
TEST_F(StepGraphsTest, TheNumberOfGraphsIsBounded) {
  Rig rig;
  const int64_t captures = cuda_emulator::Captures();
  constexpr auto kMost = static_cast<int64_t>(cuda::kRecordedShapes);
  const auto run = [&](int32_t rows) {
    const std::vector<int32_t> tokens(static_cast<size_t>(rows), rows % 16);
    const std::vector<int32_t> first_row = {0, rows};
    StepInput input;
    input.tokens = tokens;
    input.batch = {first_row, rig.first_position, rig.block_table, 1};
    rig.out.rows = rows;
    ASSERT_TRUE(rig.recorder
                    ->Run(rig.context, input,
                          [&] {
                            return rig.backend->Embed(rig.context, {rig.table, tokens, rig.out});
                          })
                    .ok());
    EXPECT_EQ(rig.First(), static_cast<float>(rows % 16 * 8));
  };
  for (int32_t rows = 1; rows <= kMost + 4; ++rows) {
    run(rows);
    run(rows);
    EXPECT_EQ(cuda_emulator::Graphs() - graphs_, std::min<int64_t>(rows, kMost));
  }
  EXPECT_EQ(cuda_emulator::Captures() - captures, kMost + 4);
  // The first made room; the last are there.
  const int64_t launched = cuda_emulator::GraphLaunches();
  run(static_cast<int32_t>(kMost) + 4);
  run(5);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 2);
  run(1);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 2);
  EXPECT_EQ(cuda_emulator::Graphs() - graphs_, kMost - 1);
  // Nor are larger steps recorded.
  run(cuda::kRecordedRows + 1);
  run(cuda::kRecordedRows + 1);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 2);
}

TEST_F(StepGraphsTest, ARecordTakesTheTokensOfEachStep) {
  Rig rig;
  const int64_t launched = cuda_emulator::GraphLaunches();
  for (const int32_t token : {3, 5, 7, 2}) {
    ASSERT_TRUE(rig.Run(token, std::span(&token, 1)).ok());
    EXPECT_EQ(rig.First(), static_cast<float>(token * 8));
  }
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 3);
}

// A driver that captures nothing, or that has no memory for graphs.
TEST_F(StepGraphsTest, WithoutGraphsStepsAreWhatTheyWere) {
  // The device, the capture's begin, the copy, the device and a launch, the capture's end, the
  // graph.
  for (const int call : {2, 6, 7}) {
    Rig rig;
    const int64_t launched = cuda_emulator::GraphLaunches();
    for (const int32_t token : {3, 5, 7}) {
      if (token == 5) cuda_emulator::FailCall(call, cudaErrorNotReady);
      ASSERT_TRUE(rig.Run(token, std::span(&token, 1)).ok()) << call;
      EXPECT_EQ(rig.First(), static_cast<float>(token * 8)) << call;
    }
    EXPECT_EQ(cuda_emulator::GraphLaunches(), launched) << call;
  }
}

// Numbers that a record would keep: it is not made, and the steps are right.
TEST_F(StepGraphsTest, NumbersThatAreNotTheStepsAreNotRecorded) {
  Rig rig;
  const int64_t launched = cuda_emulator::GraphLaunches();
  for (const int32_t token : {3, 5, 7, 2}) {
    const int32_t copy = token;
    ASSERT_TRUE(rig.Run(token, std::span(&copy, 1)).ok());
    EXPECT_EQ(rig.First(), static_cast<float>(token * 8));
  }
  EXPECT_EQ(cuda_emulator::GraphLaunches(), launched);
}

// Operations that wait cannot be recorded either.
TEST_F(StepGraphsTest, AStepThatWaitsIsNotRecorded) {
  Rig rig;
  const int64_t launched = cuda_emulator::GraphLaunches();
  StepInput input;
  const int32_t tokens[] = {4};
  input.tokens = tokens;
  input.batch = {rig.first_row, rig.first_position, rig.block_table, 1};
  for (int i = 0; i < 3; ++i) {
    rig.out.data[0] = -1;
    ASSERT_TRUE(rig.recorder
                    ->Run(rig.context, input,
                          [&]() -> absl::Status {
                            LLMCORE_RETURN_IF_ERROR(rig.backend->Synchronize());
                            return rig.backend->Embed(rig.context, {rig.table, tokens, rig.out});
                          })
                    .ok());
    EXPECT_EQ(rig.First(), 32.0f);
  }
  EXPECT_EQ(cuda_emulator::GraphLaunches(), launched);
}

TEST_F(StepGraphsTest, ACancelledStepIsNotLaunched) {
  Rig rig;
  CancelToken cancel;
  rig.context.cancel = &cancel;
  for (const int32_t token : {3, 5}) ASSERT_TRUE(rig.Run(token, std::span(&token, 1)).ok());
  EXPECT_EQ(rig.First(), 40.0f);
  cancel.Cancel();
  const int32_t token = 7;
  EXPECT_EQ(rig.Run(token, std::span(&token, 1)).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(rig.First(), 40.0f);
  cancel.Reset();
  ASSERT_TRUE(rig.Run(token, std::span(&token, 1)).ok());
  EXPECT_EQ(rig.First(), 56.0f);
}

// ... nor what was cancelled, or threw, while it was being recorded; the next is.
TEST_F(StepGraphsTest, ACaptureThatEndsEarlyLeavesTheStreamAsItWas) {
  Rig rig;
  StepInput input;
  const int32_t tokens[] = {4};
  input.tokens = tokens;
  input.batch = {rig.first_row, rig.first_position, rig.block_table, 1};
  const auto embed = [&] { return rig.backend->Embed(rig.context, {rig.table, tokens, rig.out}); };
  ASSERT_TRUE(rig.recorder->Run(rig.context, input, embed).ok());
  const absl::Status cancelled = rig.recorder->Run(rig.context, input, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(embed());
    return CancelledError("embed");
  });
  EXPECT_EQ(cancelled.code(), absl::StatusCode::kCancelled);
  EXPECT_THROW((void)rig.recorder->Run(rig.context, input,
                                       [&]() -> absl::Status {
                                         EXPECT_TRUE(embed().ok());
                                         throw std::bad_alloc();
                                       }),
               std::bad_alloc);
  const int64_t launched = cuda_emulator::GraphLaunches();
  ASSERT_TRUE(rig.recorder->Run(rig.context, input, embed).ok());
  EXPECT_EQ(rig.First(), 32.0f);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 1);
}

}  // namespace
}  // namespace llmcore::core
