/* llmcore: large language models inside a program.
 *
 * The C ABI, and the manual. A conversation is six calls: llmcore_model_load,
 * llmcore_session_create, llmcore_session_append_message, llmcore_session_generate,
 * llmcore_generation_next until it gives no event, and the _destroy of what was made.
 *
 * Rules, which hold for every function and are not repeated below:
 *
 *  1. Errors. A function that can fail returns llmcore_error*: NULL is success, anything else is an
 *     object that the caller destroys. No function aborts, exits, throws, raises a signal or
 * prints, whatever the input, the files, the memory or the device do. What lived before a failed
 * call is unchanged after it, unless the function says otherwise.
 *  2. Outputs are the last parameters, named out_*, never NULL, written by every call: on failure
 *     with NULL, 0 or false. Buffers that the caller provides are the exception: their content is
 *     unspecified after a failure.
 *  3. Handles are opaque and made by *_create, *_load, *_fork and the like. Each is ended by its
 *     *_destroy, which takes NULL. Lifetimes are free: what a handle needs of another it keeps
 *     alive, so any order of destruction is right. A pointer that is described as borrowed is not
 *     destroyed, and lives as long as the handle that lent it is neither changed nor destroyed.
 *  4. NULL for a handle is INVALID_ARGUMENT, naming the parameter, unless NULL is said to mean
 *     something. Functions that cannot fail give NULL, 0 or false for a NULL handle.
 *  5. Text is UTF-8, passed as pointer and size in bytes; NULL with size 0 is the empty text. Text
 *     that is returned is followed by a zero byte that is not counted. Paths may not contain a zero
 *     byte. Nothing passed in is kept: it may be freed when the call returns.
 *  6. Threads. A parameter that is a pointer to const may be used by several threads at once.
 *     Anything else is used by one thread at a time; a second one gets FAILED_PRECONDITION where it
 *     is cheap to notice. llmcore_session_cancel and llmcore_cancel_token_cancel may be called by
 *     any thread at any time before the handle is destroyed.
 *  7. Callbacks are fn(void* user, ...) and return whether to go on. They are called by the thread
 *     that does the work, which may be one of the library's own, one at a time for each model. They
 *     may not throw, jump out, or call a function on the handle that called them or on what was
 * made from it: it answers FAILED_PRECONDITION. `destroy_user`, which may be NULL, is called with
 *     `user` exactly once, when the library is done with it (also when the setter fails).
 *  8. Constants are uint32_t with values that never change; new ones may be added, so treat a value
 *     that you do not know as "other".
 *  9. Files of a model are mapped into memory while it loads. Another program that shortens one of
 *     them at that time is outside what any library can survive: replace files by renaming.
 * 10. A function that is here stays, with its meaning, for as long as the major version. What is
 *     not settled is declared in llmcore_experimental.h.
 */
#ifndef LLMCORE_LLMCORE_H_
#define LLMCORE_LLMCORE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LLMCORE_VERSION "0.1.0"
#define LLMCORE_VERSION_MAJOR 0
#define LLMCORE_VERSION_MINOR 1
#define LLMCORE_VERSION_PATCH 0

#if defined(__GNUC__)
#define LLMCORE_API __attribute__((visibility("default")))
#else
#define LLMCORE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is loaded: "MAJOR.MINOR.PATCH". Compare with LLMCORE_VERSION, the
 * version of this header. Static storage. */
LLMCORE_API const char* llmcore_version(void);

/* ---- Errors ---------------------------------------------------------------------------------- */

typedef struct llmcore_error llmcore_error;

/* The canonical codes of Abseil and gRPC. */
#define LLMCORE_OK UINT32_C(0)
#define LLMCORE_CANCELLED UINT32_C(1) /* a cancel token, a callback or llmcore_session_cancel */
#define LLMCORE_UNKNOWN UINT32_C(2)
#define LLMCORE_INVALID_ARGUMENT UINT32_C(3) /* an argument, or a file that is not what it says */
#define LLMCORE_DEADLINE_EXCEEDED UINT32_C(4)
#define LLMCORE_NOT_FOUND UINT32_C(5) /* a file, a model, a tensor */
#define LLMCORE_ALREADY_EXISTS UINT32_C(6)
#define LLMCORE_PERMISSION_DENIED UINT32_C(7)
#define LLMCORE_RESOURCE_EXHAUSTED UINT32_C(8)  /* memory, budget, disk */
#define LLMCORE_FAILED_PRECONDITION UINT32_C(9) /* not now: the handle is in use, or ended */
#define LLMCORE_ABORTED UINT32_C(10)
#define LLMCORE_OUT_OF_RANGE UINT32_C(11)  /* longer than the maximal context */
#define LLMCORE_UNIMPLEMENTED UINT32_C(12) /* a valid model that the library does not know */
#define LLMCORE_INTERNAL UINT32_C(13)      /* a defect of this library */
#define LLMCORE_UNAVAILABLE UINT32_C(14)   /* a device or a system call failed */
#define LLMCORE_DATA_LOSS UINT32_C(15)     /* a file is damaged */
#define LLMCORE_UNAUTHENTICATED UINT32_C(16)

/* One of the codes above; LLMCORE_OK for NULL. */
LLMCORE_API uint32_t llmcore_error_code(const llmcore_error* error);

/* One sentence: what failed, where (file, tensor, offset), what would do. Ends with a zero byte;
 * borrowed from the error; "" for NULL. For people: its wording may change. */
LLMCORE_API const char* llmcore_error_message(const llmcore_error* error);

/* For RESOURCE_EXHAUSTED the bytes that would have been enough, where they are known; else 0. */
LLMCORE_API uint64_t llmcore_error_bytes_needed(const llmcore_error* error);

LLMCORE_API void llmcore_error_destroy(llmcore_error* error);

/* ---- Results that the caller owns ------------------------------------------------------------ */

/* A text. Const: any thread. */
typedef struct llmcore_text llmcore_text;
LLMCORE_API const char* llmcore_text_data(const llmcore_text* text); /* never NULL; borrowed */
LLMCORE_API size_t llmcore_text_size(const llmcore_text* text);      /* bytes */
LLMCORE_API void llmcore_text_destroy(llmcore_text* text);

/* A token id: 0 to vocabulary size - 1. */
typedef int32_t llmcore_token;
#define LLMCORE_NO_TOKEN INT32_C(-1)

/* A list of token ids. Const: any thread. */
typedef struct llmcore_tokens llmcore_tokens;
LLMCORE_API const llmcore_token* llmcore_tokens_data(const llmcore_tokens* tokens); /* borrowed */
LLMCORE_API size_t llmcore_tokens_size(const llmcore_tokens* tokens);               /* ids */
LLMCORE_API void llmcore_tokens_destroy(llmcore_tokens* tokens);

/* ---- Cancelling ------------------------------------------------------------------------------ */

/* Stops a load or a quantization from another thread, within 50 ms: the call returns CANCELLED. */
typedef struct llmcore_cancel_token llmcore_cancel_token;
LLMCORE_API llmcore_error* llmcore_cancel_token_create(llmcore_cancel_token** out_token);

/* Any thread. Stays cancelled: work that starts later with this token is cancelled at once. */
LLMCORE_API void llmcore_cancel_token_cancel(llmcore_cancel_token* token);

/* Work that was given the token may still run: it then cannot be cancelled any more. */
LLMCORE_API void llmcore_cancel_token_destroy(llmcore_cancel_token* token);

/* ---- Model options ---------------------------------------------------------------------------
 * What is not set has the default that the setter names. Setters validate: INVALID_ARGUMENT names
 * the field, and the option keeps its value. Changing or destroying options does not touch a model
 * that was loaded with them.
 */

typedef struct llmcore_model_options llmcore_model_options;
LLMCORE_API llmcore_error* llmcore_model_options_create(llmcore_model_options** out_options);
LLMCORE_API void llmcore_model_options_destroy(llmcore_model_options* options);

/* Where the model runs: "auto" (the default: a GPU that the library supports, else the CPU), "cpu",
 * "cuda", "cuda:N". A device that is not there is an error of the load, UNAVAILABLE. */
LLMCORE_API llmcore_error* llmcore_model_options_set_device(llmcore_model_options* options,
                                                            const char* device, size_t device_size);

/* How weights are held in memory: "auto" (the default: as most of them are stored), "f32", "bf16",
 * "f16", "int8", "int4". int8 and int4 are quantized while loading; weights that are stored so can
 * have no other format, and those of AWQ and GPTQ checkpoints none but "int4-zeros". */
LLMCORE_API llmcore_error* llmcore_model_options_set_weight_format(llmcore_model_options* options,
                                                                   const char* format,
                                                                   size_t format_size);

/* How keys and values are cached: "auto" (the default: "f32" with f32 weights, else "bf16"), "f32",
 * "bf16", "f16", "int8", "int4". A format that the device lacks is UNIMPLEMENTED at load. */
LLMCORE_API llmcore_error* llmcore_model_options_set_kv_format(llmcore_model_options* options,
                                                               const char* format,
                                                               size_t format_size);

/* What linear layers multiply weights with: "auto" (the default: "int8" with int8 and int4 weights,
 * else "f32"), "f32", "bf16" (with bf16 weights), "int8" (with int8 and int4 weights). Activations
 * rounded to bf16 or int8 are faster and a little less exact. A format that the weights cannot have
 * is INVALID_ARGUMENT at load. */
LLMCORE_API llmcore_error* llmcore_model_options_set_activation_format(
    llmcore_model_options* options, const char* format, size_t format_size);

/* The most bytes that the plan may come to (llmcore_plan_total). Default: no limit. Unless its size
 * is set, the KV cache takes what the budget leaves after everything else; unless that is set too,
 * the maximal context becomes as small as it must, down to 256 tokens. A plan that is larger still
 * is RESOURCE_EXHAUSTED before any weight is read, with the bytes that would do. At least 1. */
LLMCORE_API llmcore_error* llmcore_model_options_set_memory_budget(llmcore_model_options* options,
                                                                   uint64_t bytes);

/* Tokens that the KV cache of all sessions holds together, rounded up to whole blocks. Default:
 * what a budget leaves; without a budget 8192, or one sequence of the maximal context where that is
 * more. At least 1. Replaces a fraction that was set before. */
LLMCORE_API llmcore_error* llmcore_model_options_set_kv_cache_tokens(llmcore_model_options* options,
                                                                     uint64_t tokens);

/* The same as a fraction, above 0 and at most 1, of what everything else of the plan leaves: of the
 * budget, or without one of the memory that is free at the time (of a GPU its own, else what the
 * system could give without swapping), so that a later load may come to another size than the plan.
 * At least one sequence of the maximal context, or of 256 tokens where that was not set. What
 * LMDeploy calls cache_max_entry_count. Replaces a number of tokens that was set before. */
LLMCORE_API llmcore_error* llmcore_model_options_set_kv_cache_fraction(
    llmcore_model_options* options, double fraction);

/* The longest sequence, in tokens. Default: the model's own, at most 8192. At least 1. */
LLMCORE_API llmcore_error* llmcore_model_options_set_max_context(llmcore_model_options* options,
                                                                 uint32_t tokens);

/* Tokens of one step of the engine: more read prompts faster and take more memory. Default: 512. At
 * least 1. Results do not depend on it. */
LLMCORE_API llmcore_error* llmcore_model_options_set_max_batch_tokens(
    llmcore_model_options* options, uint32_t tokens);

/* Sessions that one step of the engine serves; those beyond take turns. Each takes the logits of
 * one position, 4 bytes a vocabulary entry. Default: 32. From 1 to 4096, and no more than
 * max_batch_tokens are used. Results do not depend on it. */
LLMCORE_API llmcore_error* llmcore_model_options_set_max_batch_sequences(
    llmcore_model_options* options, uint32_t sequences);

/* Threads that compute. Default: 0, one for each core that the process may use. At most 1024.
 * Results do not depend on it. */
LLMCORE_API llmcore_error* llmcore_model_options_set_threads(llmcore_model_options* options,
                                                             uint32_t threads);

/* How llmcore_quantize_checkpoint lays weights out: "rows" (the default), which every device and
 * version reads; or "cpu", packed as the CPU backend of this version holds them, so that a load
 * maps the file and copies nothing. Another version may refuse it by name. A load takes either. */
LLMCORE_API llmcore_error* llmcore_model_options_set_checkpoint_layout(
    llmcore_model_options* options, const char* layout, size_t layout_size);

/* Called while a model loads or a checkpoint is quantized: `stage` names what is done ("read",
 * "quantize", ...), `done` of `total` bytes of it are. Returning false cancels. `stage` is borrowed
 * for the call. `callback` NULL: none, the default. */
typedef bool (*llmcore_progress_callback)(void* user, const char* stage, size_t stage_size,
                                          uint64_t done, uint64_t total);
LLMCORE_API llmcore_error* llmcore_model_options_set_progress_callback(
    llmcore_model_options* options, llmcore_progress_callback callback, void* user,
    void (*destroy_user)(void* user));

#define LLMCORE_LOG_INFO UINT32_C(1)
#define LLMCORE_LOG_WARNING UINT32_C(2)

/* Called with each line that the library has to say, while it loads and for as long as the model
 * lives; `message` is borrowed for the call. Returning false ends it: no further line comes.
 * `callback` NULL: silence, the default. */
typedef bool (*llmcore_log_callback)(void* user, uint32_t level, const char* message,
                                     size_t message_size);
LLMCORE_API llmcore_error* llmcore_model_options_set_log_callback(llmcore_model_options* options,
                                                                  llmcore_log_callback callback,
                                                                  void* user,
                                                                  void (*destroy_user)(void* user));

/* What stops a load or a quantization. NULL: nothing, the default. */
LLMCORE_API llmcore_error* llmcore_model_options_set_cancel_token(llmcore_model_options* options,
                                                                  llmcore_cancel_token* token);

/* ---- Memory plan -----------------------------------------------------------------------------
 * What a model takes, in bytes, known before any of it is taken: loading allocates exactly this.
 * Only weights that a checkpoint stores as the device holds them
 * (llmcore_model_options_set_checkpoint_layout) are not allocated but mapped: they count here too,
 * and "mapped_bytes" of the JSON says how many bytes they are. The system may take their pages
 * back, and reads them again when they are used. While it loads, a model has the pages of its
 * checkpoint resident that are being read, some tens of MB at most; none of them stay.
 */

typedef struct llmcore_plan llmcore_plan;

#define LLMCORE_MEMORY_WEIGHTS UINT32_C(0)     /* linears, embeddings, norms, biases */
#define LLMCORE_MEMORY_KV_CACHE UINT32_C(1)    /* blocks of keys and values */
#define LLMCORE_MEMORY_ACTIVATIONS UINT32_C(2) /* hidden rows of the largest step */
#define LLMCORE_MEMORY_WORKSPACE UINT32_C(3)   /* scratch of the operations */
#define LLMCORE_MEMORY_HOST UINT32_C(4)        /* what the host keeps for a step */
#define LLMCORE_MEMORY_SWAP UINT32_C(5) /* of the host: blocks that have no room in the cache */
#define LLMCORE_MEMORY_CATEGORY_COUNT UINT32_C(6)

#define LLMCORE_WEIGHT_FORMAT_AUTO UINT32_C(0)
#define LLMCORE_WEIGHT_FORMAT_F32 UINT32_C(1)
#define LLMCORE_WEIGHT_FORMAT_BF16 UINT32_C(2)
#define LLMCORE_WEIGHT_FORMAT_F16 UINT32_C(3)
#define LLMCORE_WEIGHT_FORMAT_INT8 UINT32_C(4)
#define LLMCORE_WEIGHT_FORMAT_INT4 UINT32_C(5)
/* With zero points: of AWQ and GPTQ checkpoints. */
#define LLMCORE_WEIGHT_FORMAT_INT4_ZEROS UINT32_C(6)

#define LLMCORE_KV_FORMAT_AUTO UINT32_C(0)
#define LLMCORE_KV_FORMAT_F32 UINT32_C(1)
#define LLMCORE_KV_FORMAT_BF16 UINT32_C(2)
#define LLMCORE_KV_FORMAT_F16 UINT32_C(3)
#define LLMCORE_KV_FORMAT_INT8 UINT32_C(4)
#define LLMCORE_KV_FORMAT_INT4 UINT32_C(5)

#define LLMCORE_ACTIVATION_FORMAT_AUTO UINT32_C(0)
#define LLMCORE_ACTIVATION_FORMAT_F32 UINT32_C(1)
#define LLMCORE_ACTIVATION_FORMAT_BF16 UINT32_C(2)
#define LLMCORE_ACTIVATION_FORMAT_INT8 UINT32_C(4)

/* Bytes of one category; 0 for a category that does not exist. */
LLMCORE_API uint64_t llmcore_plan_bytes(const llmcore_plan* plan, uint32_t category);

/* The sum of all categories. */
LLMCORE_API uint64_t llmcore_plan_total(const llmcore_plan* plan);

/* The formats that "auto" came to. */
LLMCORE_API uint32_t llmcore_plan_weight_format(const llmcore_plan* plan);
LLMCORE_API uint32_t llmcore_plan_kv_format(const llmcore_plan* plan);
LLMCORE_API uint32_t llmcore_plan_activation_format(const llmcore_plan* plan);

/* Tokens that one sequence, and that all sequences together, can have. */
LLMCORE_API uint32_t llmcore_plan_max_context(const llmcore_plan* plan);
LLMCORE_API uint64_t llmcore_plan_kv_cache_tokens(const llmcore_plan* plan);

/* {"total_bytes": n, "mapped_bytes": n, "bytes": {"weights": n, ...}, "device": ..., ...}: all of
 * the above by name, the limits of a step, "longest_context" (that the model was made for), and
 * "session_bytes" (see llmcore_session_create). */
LLMCORE_API llmcore_error* llmcore_plan_json(const llmcore_plan* plan, llmcore_text** out_text);

/* Takes NULL; not for a borrowed plan. */
LLMCORE_API void llmcore_plan_destroy(llmcore_plan* plan);

/* ---- Model -----------------------------------------------------------------------------------
 * Weights on a device, the KV cache that its sessions share, a tokenizer and a chat template. Const
 * once it is loaded: sessions of several threads may share it, and each gets the answer that it
 * would get alone. `path` is a Hugging Face model directory as downloaded, or the name of a model
 * in the local cache of Hugging Face ("Qwen/Qwen2.5-0.5B-Instruct"). `options` NULL: the defaults.
 */

typedef struct llmcore_model llmcore_model;

/* The plan of a model that is not loaded: reads headers only, and allocates nothing of the model. A
 * budget in `options` is not checked: compare it with llmcore_plan_total. */
LLMCORE_API llmcore_error* llmcore_model_plan(const char* path, size_t path_size,
                                              const llmcore_model_options* options,
                                              llmcore_plan** out_plan);

/* Loads a model. NOT_FOUND: nothing there. INVALID_ARGUMENT, DATA_LOSS: damaged files.
 * UNIMPLEMENTED: a model, a tokenizer or a part of one that is not understood, named.
 * RESOURCE_EXHAUSTED: the plan exceeds the budget or the memory. CANCELLED: by token or callback.
 * A directory without a tokenizer loads; what needs one is an error of its own then. */
LLMCORE_API llmcore_error* llmcore_model_load(const char* path, size_t path_size,
                                              const llmcore_model_options* options,
                                              llmcore_model** out_model);

/* Sessions, tokenizers and generations of the model go on: the last of them frees the memory. */
LLMCORE_API void llmcore_model_destroy(llmcore_model* model);

/* The plan that was allocated; borrowed. */
LLMCORE_API const llmcore_plan* llmcore_model_plan_of(const llmcore_model* model);

/* Rows of logits have this many values. */
LLMCORE_API uint32_t llmcore_model_vocabulary_size(const llmcore_model* model);

/* The longest sequence that a session can have, in tokens. */
LLMCORE_API uint32_t llmcore_model_max_context(const llmcore_model* model);

/* What computes, for people ("cpu, avx512 vnni, 2 threads"). Ends with a zero byte; borrowed. */
LLMCORE_API const char* llmcore_model_backend_description(const llmcore_model* model);

/* Whether the token ends a reply of this model. */
LLMCORE_API bool llmcore_model_is_end_of_text(const llmcore_model* model, llmcore_token token);

/* ---- Tokenizer -------------------------------------------------------------------------------
 * Text to token ids and back, and messages to text. Const: any thread. Flags that are not listed
 * are INVALID_ARGUMENT.
 */

typedef struct llmcore_tokenizer llmcore_tokenizer;

/* From a model directory (or its name, as for a model), of which only the files of tokenizer and
 * chat template are read. NOT_FOUND: no such directory. What it lacks, or what is not understood of
 * it, is the error of the functions that need it: a directory may have a chat template alone. */
LLMCORE_API llmcore_error* llmcore_tokenizer_load(const char* path, size_t path_size,
                                                  llmcore_tokenizer** out_tokenizer);

/* Of a loaded model; keeps what it needs of it alive. */
LLMCORE_API llmcore_error* llmcore_tokenizer_of(const llmcore_model* model,
                                                llmcore_tokenizer** out_tokenizer);
LLMCORE_API void llmcore_tokenizer_destroy(llmcore_tokenizer* tokenizer);

/* Adds the tokens that the model expects around a text, such as BOS. */
#define LLMCORE_ENCODE_ADD_SPECIAL UINT32_C(1)
/* Reads "<|im_end|>" and the like in the text as the token of that name, which text from strangers
 * should not be able to write. Without it they are plain characters. */
#define LLMCORE_ENCODE_PARSE_SPECIAL UINT32_C(2)

/* Token ids of a text. INVALID_ARGUMENT: the text is not UTF-8, with the offset. */
LLMCORE_API llmcore_error* llmcore_tokenizer_encode(const llmcore_tokenizer* tokenizer,
                                                    const char* text, size_t text_size,
                                                    uint32_t flags, llmcore_tokens** out_ids);

/* Leaves out special tokens, such as BOS and EOS. */
#define LLMCORE_DECODE_SKIP_SPECIAL UINT32_C(1)

/* Text of `count` token ids. Bytes that form no character become U+FFFD; an id that no token has
 * decodes to nothing, since models pad their vocabularies. INVALID_ARGUMENT: an id below 0. `ids`
 * may be NULL when `count` is 0. */
LLMCORE_API llmcore_error* llmcore_tokenizer_decode(const llmcore_tokenizer* tokenizer,
                                                    const llmcore_token* ids, size_t count,
                                                    uint32_t flags, llmcore_text** out_text);

/* Ends the text with what begins a reply of the assistant. */
#define LLMCORE_RENDER_ADD_GENERATION_PROMPT UINT32_C(1)

/* The text that the model's chat template makes of messages: a JSON array of {"role": ...,
 * "content": ...}, or an object with "messages" and further variables of the template ("tools",
 * "add_generation_prompt", ...). A template that raises an error, or uses what is not understood,
 * is an error with its own words. */
LLMCORE_API llmcore_error* llmcore_tokenizer_render_chat(const llmcore_tokenizer* tokenizer,
                                                         const char* messages_json,
                                                         size_t messages_json_size, uint32_t flags,
                                                         llmcore_text** out_text);

/* Ids are below this; 0 when there is no tokenizer. */
LLMCORE_API uint32_t llmcore_tokenizer_vocabulary_size(const llmcore_tokenizer* tokenizer);

/* The tokens that begin and end a sequence; LLMCORE_NO_TOKEN when the model has none. */
LLMCORE_API llmcore_token llmcore_tokenizer_bos_token(const llmcore_tokenizer* tokenizer);
LLMCORE_API llmcore_token llmcore_tokenizer_eos_token(const llmcore_tokenizer* tokenizer);

/* How the vocabulary writes a token ("<|im_end|>", "\xc4\xa0the"): not always the text that it
 * decodes to. */
LLMCORE_API llmcore_error* llmcore_tokenizer_token_text(const llmcore_tokenizer* tokenizer,
                                                        llmcore_token token,
                                                        llmcore_text** out_text);

/* ---- Session ---------------------------------------------------------------------------------
 * One sequence of tokens and its part of the KV cache. Appending computes nothing: that happens
 * when logits or a generation ask for it. A session holds either messages or plain text and tokens,
 * not both (FAILED_PRECONDITION). A call that changes a session ends a generation of it.
 * OUT_OF_RANGE: the sequence would be longer than the maximal context.
 *
 * Sessions may want more of the KV cache than there is. Those that nobody computes with then give
 * up blocks, the one that was used least recently first, and compute them again when they go on, to
 * the same answers; what still does not fit waits until another reply is over.
 */

typedef struct llmcore_session llmcore_session;

/* An empty session. Beside its part of the KV cache, which is in the plan, a session takes memory
 * of the host for itself: 20 bytes a vocabulary entry from its first generation on, 4 more once
 * llmcore_session_logits was called ("session_bytes" of llmcore_plan_json has both), and its tokens
 * and text. */
LLMCORE_API llmcore_error* llmcore_session_create(const llmcore_model* model,
                                                  llmcore_session** out_session);

/* Generations of the session go on until they are destroyed. */
LLMCORE_API void llmcore_session_destroy(llmcore_session* session);

/* Appends token ids as they are. `ids` may be NULL when `count` is 0. */
LLMCORE_API llmcore_error* llmcore_session_append_tokens(llmcore_session* session,
                                                         const llmcore_token* ids, size_t count);

/* Appends plain text; BOS comes first where the model expects it and the session is empty. Names of
 * special tokens in the text ("<|im_end|>") become those tokens: encode text from strangers with
 * llmcore_tokenizer_encode, which leaves the choice, and append the ids. */
LLMCORE_API llmcore_error* llmcore_session_append_text(llmcore_session* session, const char* text,
                                                       size_t text_size);

/* Appends a message ("system", "user", "assistant", ...) through the model's chat template. Names
 * of special tokens in the content become those tokens, as wherever templates are rendered. */
LLMCORE_API llmcore_error* llmcore_session_append_message(llmcore_session* session,
                                                          const char* role, size_t role_size,
                                                          const char* content, size_t content_size);

/* Further variables of the chat template, as a JSON object: {"tools": [...], "enable_thinking":
 * false}. Replaces those that were set before. */
LLMCORE_API llmcore_error* llmcore_session_set_chat_variables(llmcore_session* session,
                                                              const char* json, size_t json_size);

/* Tokens in the sequence. Any thread; while a call is in flight, those before it. */
LLMCORE_API uint64_t llmcore_session_length(const llmcore_session* session);

/* The sequence itself, llmcore_session_length ids; borrowed until the next call that changes the
 * session. Uses the session: one thread at a time. */
LLMCORE_API llmcore_error* llmcore_session_tokens(llmcore_session* session,
                                                  const llmcore_token** out_ids, size_t* out_count);

/* Rewinds to the first `length` tokens and frees the KV blocks after them; messages that end later
 * are forgotten. INVALID_ARGUMENT: longer than the sequence. */
LLMCORE_API llmcore_error* llmcore_session_truncate(llmcore_session* session, uint64_t length);

/* A second session that begins with the same tokens and messages. Shares KV blocks and copies
 * none: either session copies a block when it first writes to it. */
LLMCORE_API llmcore_error* llmcore_session_fork(llmcore_session* session,
                                                llmcore_session** out_session);

/* Writes tokens, messages and KV cache to a file, replacing it in one step: a crash leaves the old
 * file or the new one. */
LLMCORE_API llmcore_error* llmcore_session_save(llmcore_session* session, const char* path,
                                                size_t path_size);

/* Reads what llmcore_session_save wrote. DATA_LOSS: the file is damaged. FAILED_PRECONDITION: it is
 * of another model or other formats. */
LLMCORE_API llmcore_error* llmcore_session_restore(const llmcore_model* model, const char* path,
                                                   size_t path_size, llmcore_session** out_session);

/* Logits of the last position, before any sampling parameter: llmcore_model_vocabulary_size values;
 * borrowed until the next call on the session. Computes what was appended. FAILED_PRECONDITION: the
 * session is empty. */
LLMCORE_API llmcore_error* llmcore_session_logits(llmcore_session* session,
                                                  const float** out_values, size_t* out_count);

/* Any thread. The call that is in flight on the session, or else the next that computes, returns
 * CANCELLED within 50 ms. What was computed and generated before stays. */
LLMCORE_API void llmcore_session_cancel(llmcore_session* session);

/* ---- Sampling parameters ---------------------------------------------------------------------
 * What is not set follows the model's generation_config.json, and then the default that the setter
 * names. Setters validate as those of the model options do.
 */

typedef struct llmcore_sampling_params llmcore_sampling_params;
LLMCORE_API llmcore_error* llmcore_sampling_params_create(llmcore_sampling_params** out_params);
LLMCORE_API void llmcore_sampling_params_destroy(llmcore_sampling_params* params);

/* 0: always the most likely token. At least 0. Default: 0, or 1 where the model's
 * generation_config.json asks for sampling and names no temperature. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_temperature(llmcore_sampling_params* params,
                                                                   float temperature);

/* Only the k most likely tokens. 0: all, the default. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_top_k(llmcore_sampling_params* params,
                                                             uint32_t top_k);

/* Only the fewest most likely tokens that together have probability p. From 0, the most likely one,
 * to 1: all, the default. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_top_p(llmcore_sampling_params* params,
                                                             float top_p);

/* Only tokens at least p times as likely as the most likely one. From 0 (the default: all) to 1. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_min_p(llmcore_sampling_params* params,
                                                             float min_p);

/* Only the fewest tokens whose surprise is nearest to the expected one that together have
 * probability p. Above 0, to 1: all, the default. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_typical_p(llmcore_sampling_params* params,
                                                                 float typical_p);

/* Divides positive and multiplies negative logits of tokens that occurred in the sequence. Above 0;
 * 1: none, the default. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_repetition_penalty(
    llmcore_sampling_params* params, float penalty);

/* Taken off the logit of a generated token for each time, and once, that it was generated. -2 to 2;
 * 0: none, the default. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_frequency_penalty(
    llmcore_sampling_params* params, float penalty);
LLMCORE_API llmcore_error* llmcore_sampling_params_set_presence_penalty(
    llmcore_sampling_params* params, float penalty);

/* The same seed, parameters and sequence give the same tokens. Default: a new seed each time. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_seed(llmcore_sampling_params* params,
                                                            uint64_t seed);

/* Ends after this many tokens. At least 1; default: when the model ends or the context is full. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_max_tokens(llmcore_sampling_params* params,
                                                                  uint64_t tokens);

/* Ends when this text comes, which is not part of the reply, nor is any beginning of it shown. Not
 * empty. May be called several times. */
LLMCORE_API llmcore_error* llmcore_sampling_params_add_stop(llmcore_sampling_params* params,
                                                            const char* text, size_t text_size);

/* Added to the logit of a token, before anything else; a later call for the same token replaces the
 * bias. Negative infinity forbids the token. May be called several times, for ids of at least 0. */
LLMCORE_API llmcore_error* llmcore_sampling_params_add_logit_bias(llmcore_sampling_params* params,
                                                                  llmcore_token token, float bias);

/* Reports this many most likely tokens with each event. 0, the default, to 1024. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_logprobs(llmcore_sampling_params* params,
                                                                uint32_t count);

/* Goes on past the tokens that end a reply. Default: false. */
LLMCORE_API llmcore_error* llmcore_sampling_params_set_ignore_eos(llmcore_sampling_params* params,
                                                                  bool ignore_eos);

/* ---- Generation ------------------------------------------------------------------------------
 * A reply that is being made. Pull events until there is none; stop early by destroying it. What
 * was generated is part of the session, as tokens and, with messages, as a message of the
 * assistant.
 */

typedef struct llmcore_generation llmcore_generation;

/* Begins a reply at the end of the session; `params` NULL: the defaults. Ends a generation that the
 * session has. FAILED_PRECONDITION: the session is empty. */
LLMCORE_API llmcore_error* llmcore_session_generate(llmcore_session* session,
                                                    const llmcore_sampling_params* params,
                                                    llmcore_generation** out_generation);

/* One token, or the end; borrowed until the next call on its generation. */
typedef struct llmcore_event llmcore_event;

/* Computes the next event. Uses the session: one thread at a time. The event with a finish reason
 * is the last; after it, and after an error, *out_event is NULL without error. CANCELLED and other
 * errors end the generation. FAILED_PRECONDITION: a call on the session ended the generation.
 * INVALID_ARGUMENT: a logit bias names a token that the model lacks. */
LLMCORE_API llmcore_error* llmcore_generation_next(llmcore_generation* generation,
                                                   const llmcore_event** out_event);

/* Ends the reply where it is. */
LLMCORE_API void llmcore_generation_destroy(llmcore_generation* generation);

/* The text that became certain with this event. It never cuts a character and may be empty: half a
 * character, or what may be the beginning of a stop text, waits for a later event. Never NULL;
 * borrowed from the event. */
LLMCORE_API const char* llmcore_event_text(const llmcore_event* event);
LLMCORE_API size_t llmcore_event_text_size(const llmcore_event* event);

/* Whether the event brings a token: only a last event may bring none. */
LLMCORE_API bool llmcore_event_has_token(const llmcore_event* event);

/* The token, or LLMCORE_NO_TOKEN. */
LLMCORE_API llmcore_token llmcore_event_token(const llmcore_event* event);

/* The natural logarithm of the token's probability by the model, before sampling parameters. */
LLMCORE_API float llmcore_event_logprob(const llmcore_event* event);

/* The most likely tokens, best first, when llmcore_sampling_params_set_logprobs asked for them.
 * INVALID_ARGUMENT: `index` is not below the count. */
LLMCORE_API size_t llmcore_event_top_logprob_count(const llmcore_event* event);
LLMCORE_API llmcore_error* llmcore_event_top_logprob(const llmcore_event* event, size_t index,
                                                     llmcore_token* out_token, float* out_logprob);

#define LLMCORE_FINISH_NONE UINT32_C(0)         /* it goes on */
#define LLMCORE_FINISH_END_OF_TEXT UINT32_C(1)  /* the model ended its reply */
#define LLMCORE_FINISH_STOP UINT32_C(2)         /* a stop text came */
#define LLMCORE_FINISH_MAX_TOKENS UINT32_C(3)   /* as many tokens as were asked for */
#define LLMCORE_FINISH_CONTEXT_FULL UINT32_C(4) /* the sequence is as long as it can be */
LLMCORE_API uint32_t llmcore_event_finish_reason(const llmcore_event* event);

/* ---- Quantization ----------------------------------------------------------------------------
 * int4 in blocks of 128 values: a block has a scale in bf16 and 128 codes of 4 bits, the even one
 * in the high half of a byte. The last block may be short.
 */

/* Quantizes `count` bf16 values. `out_packed`: (count + 1) / 2 bytes. `out_scales_bf16`: (count +
 * 127) / 128 values. INVALID_ARGUMENT: a value is not finite, with its index. Pointers may be NULL
 * when `count` is 0. */
LLMCORE_API llmcore_error* llmcore_quantize_int4(const uint16_t* values_bf16, uint64_t count,
                                                 uint8_t* out_packed, uint16_t* out_scales_bf16);

/* The other way; sizes as above, `out_values_bf16`: `count` values. */
LLMCORE_API llmcore_error* llmcore_dequantize_int4(const uint8_t* packed,
                                                   const uint16_t* scales_bf16, uint64_t count,
                                                   uint16_t* out_values_bf16);

/* Writes the model directory `src` with quantized weights to the directory `dst`, which is made and
 * must not hold a model (ALREADY_EXISTS). It loads to the same logits, bit for bit, as `src`
 * quantized at load. Of `options` the weight format ("int8", or "int4", which "auto" and NULL
 * mean), checkpoint layout, threads, progress, log (a line a tensor: sizes, and the error in the
 * layout "rows") and cancel token count. */
LLMCORE_API llmcore_error* llmcore_quantize_checkpoint(const char* src, size_t src_size,
                                                       const char* dst, size_t dst_size,
                                                       const llmcore_model_options* options);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LLMCORE_LLMCORE_H_ */
