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

/* Logits of the positions from `first` to the end, `rows` times `columns` values, row after row;
 * borrowed until the next call on the session. Computes the positions again: a use for tests and
 * perplexity. INVALID_ARGUMENT: `first` is not below the length. */
LLMCORE_API llmcore_error* llmcore_session_all_logits(llmcore_session* session, uint64_t first,
                                                      const float** out_values, size_t* out_rows,
                                                      size_t* out_columns);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LLMCORE_LLMCORE_EXPERIMENTAL_H_ */
