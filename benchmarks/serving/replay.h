// Runs requests against a model, each in a session and a thread of its own, and keeps the times.
#ifndef LLMCORE_BENCHMARKS_SERVING_REPLAY_H_
#define LLMCORE_BENCHMARKS_SERVING_REPLAY_H_

#include <cstdint>
#include <functional>
#include <llmcore/llmcore.hpp>
#include <string>
#include <vector>

#include "serving/workload.h"

namespace benchmarks {

// Seconds are those after the start of the replay.
struct RequestRecord {
  double arrival = 0;                 // when it came, or in a closed loop when its turn came
  std::vector<double> token_times{};  // when each token of the reply was there
  uint32_t prompt_tokens = 0;
  llmcore::Error error{};  // why it ended early
};

// What llmcore_model_stats_json said at one moment.
struct PoolSample {
  double used = 0;     // part of the KV cache that sessions hold
  double waiting = 0;  // requests that no step has taken yet
};

struct ReplayOptions {
  // Requests that run at a time, each with a thread. One that comes while all run waits for one to
  // end, and its waiting counts.
  uint32_t concurrency = 1;
  // Whether requests wait for their arrival. Otherwise each comes when one before it ends.
  bool open_loop = false;
};

struct ReplayResult {
  double seconds = 0;
  std::vector<RequestRecord> requests{};
  std::vector<PoolSample> pool{};  // every 20 ms
  double prefix_hit_tokens = 0;    // tokens of prompts that the prefix cache had
  // Blocks of the KV cache that sessions lost to others: those that went to the host's memory and
  // came back, and those that found no room there.
  double swapped_out_blocks = 0;
  double swapped_in_blocks = 0;
  double dropped_blocks = 0;
};

// `progress` is called on this thread with the number of requests that ended. Sampling is greedy
// and goes on past end tokens, so that each reply has the length that was asked for.
ReplayResult Replay(const llmcore::Model& model, const std::vector<RequestSpec>& requests,
                    const ReplayOptions& options, const std::function<void(size_t)>& progress);

// A greedy reply of exactly `tokens`; throws llmcore::Error when it ends early. `on_token` is
// called after each and returns whether to go on.
void GenerateTokens(llmcore::Session& session, uint32_t tokens,
                    const std::function<bool()>& on_token);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_SERVING_REPLAY_H_
