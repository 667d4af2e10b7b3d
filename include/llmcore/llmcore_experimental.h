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

/* Sets whose sessions `session` may share with: those of the same `tenant`, any 0 to 64 bytes (a
 * user's id, or a hash of it; the default is the empty one). How fast a prompt is read tells
 * whether somebody else has had it before: give callers that must not learn that of each other
 * tenants of their own. A fork has the tenant of its session. FAILED_PRECONDITION: the session has
 * tokens; INVALID_ARGUMENT: more than 64 bytes. */
LLMCORE_API llmcore_error* llmcore_session_set_cache_tenant(llmcore_session* session,
                                                            const char* tenant, size_t tenant_size);

/* What the prefix cache of a model has done so far, as JSON: "enabled"; "block_tokens", what it
 * shares at a time; "hit_tokens", tokens of prompts that it saved computing; "computed_tokens",
 * those that were computed; "indexed_blocks", blocks that it can share now; "cached_blocks", of
 * them those that no session holds and the KV cache may take back; "evicted_blocks", those that it
 * has taken back. Any thread. */
LLMCORE_API llmcore_error* llmcore_model_prefix_cache_json(const llmcore_model* model,
                                                           llmcore_text** out_text);

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

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LLMCORE_LLMCORE_EXPERIMENTAL_H_ */
