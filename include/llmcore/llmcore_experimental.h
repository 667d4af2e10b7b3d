/* Functions that are not settled: they may change or go in any version, and are exported under the
 * symbol version LLMCORE_EXPERIMENTAL. The rules of llmcore.h hold.
 */
#ifndef LLMCORE_LLMCORE_EXPERIMENTAL_H_
#define LLMCORE_LLMCORE_EXPERIMENTAL_H_

#include "llmcore/llmcore.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model of a published shape ("qwen2.5-0.5b", "llama-3.2-1b", "llama-3-8b", "qwen2.5-32b") with
 * random weights: measures speed where no weights are. It has no tokenizer. NOT_FOUND: a shape that
 * is not known, with those that are. `options` as for llmcore_model_load. */
LLMCORE_API llmcore_error* llmcore_model_load_synthetic(const char* shape, size_t shape_size,
                                                        const llmcore_model_options* options,
                                                        llmcore_model** out_model);

/* What llmcore_model_load_synthetic would take: llmcore_model_plan for a shape. Makes no weights.
 * The plan is the caller's. NOT_FOUND: as above. Any thread. */
LLMCORE_API llmcore_error* llmcore_model_plan_synthetic(const char* shape, size_t shape_size,
                                                        const llmcore_model_options* options,
                                                        llmcore_plan** out_plan);

/* Logits of the positions from `first` to the end, `rows` times `columns` values, row after row;
 * borrowed until the next call on the session. Computes the positions again: a use for tests and
 * perplexity. INVALID_ARGUMENT: `first` is not below the length. */
LLMCORE_API llmcore_error* llmcore_session_all_logits(llmcore_session* session, uint64_t first,
                                                      const float** out_values, size_t* out_rows,
                                                      size_t* out_columns);

/* ---- Scheduling ------------------------------------------------------------------------------ */

/* Who runs the steps of a model: "background" (the default), a thread of the library; or "manual",
 * the host: llmcore_engine_step, and each call that waits for something, such as
 * llmcore_generation_next, runs steps in its own thread. Such a call shares its steps with whatever
 * else is asked for at the time, and sees that it was cancelled at the end of a step that it
 * shares. Results do not depend on it. */
LLMCORE_API llmcore_error* llmcore_model_options_set_scheduler(llmcore_model_options* options,
                                                               const char* scheduler,
                                                               size_t scheduler_size);

/* Whether the logits of a sequence never depend on what shares its steps, how its tokens were cut
 * into steps or what the prefix cache held: the default, true. With false a GPU multiplies the
 * weights with many tokens at once (385 and more in a step) by cuBLASLt, if that is installed:
 * meant to be faster with long prompts and many sessions, takes more memory, which the plan counts,
 * and such a step's logits differ from those of smaller steps in their last digits. The CPU
 * computes the same with both. */
LLMCORE_API llmcore_error* llmcore_model_options_set_deterministic(llmcore_model_options* options,
                                                                   bool enabled);

/* Runs one step of a model whose scheduler is "manual", for all requests that can take part in one:
 * *out_did_work is false, at once, when there is none. What fails is told to those who asked for
 * it. Any thread; steps run one after the other. FAILED_PRECONDITION: another scheduler. */
LLMCORE_API llmcore_error* llmcore_engine_step(const llmcore_model* model, bool* out_did_work);

/* llmcore_generation_next without waiting. While the event is not computed yet, *out_event is NULL
 * and *out_pending true: call again, with a "manual" scheduler after a llmcore_engine_step. NULL
 * and false: the generation is over. The next event is computed between two calls, also after a
 * call that brought one; any other call on the session takes that back. */
LLMCORE_API llmcore_error* llmcore_generation_poll(llmcore_generation* generation,
                                                   const llmcore_event** out_event,
                                                   bool* out_pending);

/* Who comes first where sessions of a model wait for each other's steps or KV blocks: from -100 to
 * 100, higher first; default: 0. A unit is a head start of 64 steps, so that nobody waits for ever:
 * a session of priority 1 leaves those of priority 0 about one turn in 65. For what is asked from
 * now on; forks take it over. */
LLMCORE_API llmcore_error* llmcore_session_set_priority(llmcore_session* session, int32_t priority);

/* Calls on the session that compute, those of its generations too, return DEADLINE_EXCEEDED from so
 * many milliseconds after now on, within 50 ms; what was computed and generated before stays. It
 * ends a generation, as errors do. A later call sets another; forks take it over. */
#define LLMCORE_NO_DEADLINE UINT64_MAX /* the default */
LLMCORE_API llmcore_error* llmcore_session_set_deadline(llmcore_session* session,
                                                        uint64_t milliseconds);

/* ---- Several answers ------------------------------------------------------------------------
 * What could follow a session, several times over. The answers share the KV blocks of the prompt,
 * each computes its own tokens, and all of them advance in shared steps. The session stays as it
 * is, also after an error or llmcore_session_cancel, but for a generation of it, which ends: append
 * the message or the tokens of the answer that is to be part of it. Those that the KV cache does
 * not hold at once take turns, which is slow. FAILED_PRECONDITION: the session is empty.
 */

typedef struct llmcore_answers llmcore_answers;

/* Samples `best_of` answers and gives the `n` of highest log-probability per token, best first
 * (ties: lower index first), which is the order of best_of in the OpenAI API: the sum would prefer
 * what ends soonest. `params` as for llmcore_session_generate, NULL: the defaults; the number of
 * logprobs has no effect, and temperature 0 makes all answers equal. Candidate i has random numbers
 * of its own, which seed and i fix: candidate 0 is the reply of llmcore_session_generate.
 * INVALID_ARGUMENT: not 1 <= n <= best_of <= 256. */
LLMCORE_API llmcore_error* llmcore_session_sample_answers(llmcore_session* session,
                                                          const llmcore_sampling_params* params,
                                                          uint32_t n, uint32_t best_of,
                                                          llmcore_answers** out_answers);

/* Follows the `width` most likely beginnings at a time and gives the `n` best answers found, best
 * first. An answer's score is its log-probability divided by its number of tokens to the power of
 * `length_penalty` (the token that ends it counts): 1 compares means, above favours long answers, 0
 * compares sums, below 0 favours short ones. `early_stopping`: ends as soon as `width` answers have
 * ended; otherwise when no beam can beat the worst of them by ending with its next token.
 * `max_tokens` of an answer; 0: until the context is full. These are num_beams, length_penalty,
 * early_stopping, num_return_sequences and max_new_tokens of transformers. Nothing is random; of
 * equal beams the one with the lower parent, then with the lower token, comes first. There may be
 * fewer than `n` answers where the vocabulary or the context is tiny. INVALID_ARGUMENT: not 1 <= n
 * <= width <= 256, or `length_penalty` is not from -16 to 16. */
LLMCORE_API llmcore_error* llmcore_session_beam_search(llmcore_session* session, uint32_t width,
                                                       uint64_t max_tokens, double length_penalty,
                                                       bool early_stopping, uint32_t n,
                                                       llmcore_answers** out_answers);

LLMCORE_API void llmcore_answers_destroy(llmcore_answers* answers);

/* How many there are. What follows is borrowed from `answers`; for an index that is not below their
 * number it is "", 0 or LLMCORE_FINISH_NONE. */
LLMCORE_API size_t llmcore_answers_count(const llmcore_answers* answers);

/* Without the stop text or the token that ended it. Empty when the model has no tokenizer. */
LLMCORE_API const char* llmcore_answers_text(const llmcore_answers* answers, size_t index);
LLMCORE_API size_t llmcore_answers_text_size(const llmcore_answers* answers, size_t index);

/* LLMCORE_FINISH_END_OF_TEXT, ... */
LLMCORE_API uint32_t llmcore_answers_finish_reason(const llmcore_answers* answers, size_t index);

/* The natural logarithm of its probability by the model, before sampling parameters: the sum of
 * those of its tokens. */
LLMCORE_API double llmcore_answers_logprob(const llmcore_answers* answers, size_t index);

/* What the answers are ordered by. */
LLMCORE_API double llmcore_answers_score(const llmcore_answers* answers, size_t index);

/* Of a sample, which candidate it was, 0 to best_of - 1; of a beam its rank. */
LLMCORE_API uint32_t llmcore_answers_candidate(const llmcore_answers* answers, size_t index);

/* Its tokens, the one that ended it included, and their log-probabilities. INVALID_ARGUMENT:
 * `index` is not below the number of answers. */
LLMCORE_API llmcore_error* llmcore_answers_tokens(const llmcore_answers* answers, size_t index,
                                                  const llmcore_token** out_ids,
                                                  const float** out_logprobs, size_t* out_count);

/* ---- Log-probabilities of a prompt --------------------------------------------------------- */

typedef struct llmcore_prompt_logprobs llmcore_prompt_logprobs;

/* What the model makes of the tokens of a session: the log-probability of each after those before
 * it, and the `top` (0 to 1024) most likely ones in its place. Computes the sequence again, without
 * holding its logits. Ends a generation of the session. FAILED_PRECONDITION: the session is empty.
 */
LLMCORE_API llmcore_error* llmcore_session_prompt_logprobs(llmcore_session* session, uint32_t top,
                                                           llmcore_prompt_logprobs** out_logprobs);

LLMCORE_API void llmcore_prompt_logprobs_destroy(llmcore_prompt_logprobs* logprobs);

/* One value a token, borrowed; the first is NaN: nothing came before it. */
LLMCORE_API llmcore_error* llmcore_prompt_logprobs_values(const llmcore_prompt_logprobs* logprobs,
                                                          const float** out_values,
                                                          size_t* out_count);

/* How many of the most likely tokens there are a position: `top`, at most the vocabulary. */
LLMCORE_API size_t llmcore_prompt_logprobs_top_count(const llmcore_prompt_logprobs* logprobs);

/* The one of `rank`, 0 the most likely, in the place of the token at `position`. INVALID_ARGUMENT:
 * `position` is 0 or past the end, or `rank` is not below llmcore_prompt_logprobs_top_count. */
LLMCORE_API llmcore_error* llmcore_prompt_logprobs_top(const llmcore_prompt_logprobs* logprobs,
                                                       uint64_t position, size_t rank,
                                                       llmcore_token* out_token,
                                                       float* out_logprob);

/* ---- Inside a model ------------------------------------------------------------------------- */

/* The prefix cache, on by default: what a session has computed of its tokens, in whole blocks of
 * the KV cache (llmcore_plan_json: "kv_block_tokens"), serves every other session of the model and
 * the same tenant whose tokens begin the same, at once and after the session's end, until the KV
 * cache needs the memory for something else, the least recently used first. A prompt of which much
 * is there is read in the time of the rest, and takes the memory of the rest; its logits have the
 * same bits. Sessions that are given the same prompt at the same time compute it once.
 *
 * `enabled` false turns it off: every prompt is read in full. */
LLMCORE_API llmcore_error* llmcore_model_options_set_prefix_cache(llmcore_model_options* options,
                                                                  bool enabled);

/* The most bytes of the host's memory for blocks of the KV cache that sessions lose to others,
 * where the cache is too small for all: they are copied there and back, in a small part of the time
 * that computing them again would take. What finds no room is computed again, as everything is with
 * 0, the default: either way results have the same bits. Taken whole while loading, as much of it
 * as makes whole blocks (LLMCORE_MEMORY_SWAP, "swap_blocks" of the plan's JSON), and part of the
 * plan's total and of a budget. A block that nobody has room for elsewhere stays there until its
 * session goes on, is truncated or destroyed; so the memory serves conversations at rest too. A
 * load or plan is INVALID_ARGUMENT when `bytes` hold not one block. */
LLMCORE_API llmcore_error* llmcore_model_options_set_swap_bytes(llmcore_model_options* options,
                                                                uint64_t bytes);

/* Sets whose sessions `session` may share with: those of the same `tenant`, any 0 to 64 bytes (a
 * user's id, or a hash of it; the default is the empty one). How fast a prompt is read tells
 * whether somebody else has had it before: give callers that must not learn that of each other
 * tenants of their own. A fork has the tenant of its session. FAILED_PRECONDITION: the session has
 * tokens; INVALID_ARGUMENT: more than 64 bytes. */
LLMCORE_API llmcore_error* llmcore_session_set_cache_tenant(llmcore_session* session,
                                                            const char* tenant, size_t tenant_size);

/* Traces where the time of the model's steps goes: `enabled` starts anew with the steps that begin
 * from now on, false stops. Costs well under 1% of a step. Any thread, also while sessions compute.
 */
LLMCORE_API llmcore_error* llmcore_model_set_trace(llmcore_model* model, bool enabled);

/* What the trace came to, as JSON: "steps", "rows" (tokens), "seconds", "other_seconds" (of the
 * steps, outside of the operations below) and "operations", the slowest first, each with "name",
 * "inputs" and "outputs" (of a linear's weight), "calls", "rows", "seconds", "bytes" (that it had
 * to read and write at least) and "ops" (additions and multiplications). Zeros before
 * llmcore_model_set_trace. Any thread. */
LLMCORE_API llmcore_error* llmcore_model_trace_json(const llmcore_model* model,
                                                    llmcore_text** out_text);

/* What the sessions of a model hold and wait for at the moment, as JSON: "kv_blocks" (of the KV
 * cache), "kv_blocks_free" (those that only the prefix cache holds included), "kv_block_tokens"
 * (positions of a block), "waiting_requests" (that no step has taken yet), and "prefix_cache":
 * "enabled"; "hit_tokens", tokens of prompts that it saved computing so far; "computed_tokens",
 * those that were computed; "indexed_blocks", blocks that it can share now; "cached_blocks", of
 * them those that no session holds and the KV cache may take back; "evicted_blocks", those that it
 * has taken back. "swap": "blocks" that llmcore_model_options_set_swap_bytes has room for,
 * "free_blocks"; and so far "out_blocks" that went there, "in_blocks" that came back, and
 * "dropped_blocks" that sessions lost to others and that found no room. Cheap enough to ask for
 * many times a second. Any thread. */
LLMCORE_API llmcore_error* llmcore_model_stats_json(const llmcore_model* model,
                                                    llmcore_text** out_text);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LLMCORE_LLMCORE_EXPERIMENTAL_H_ */
