/* Loads the library, a model and a reply, and unloads all of it, again and again:
 * dlopen_cycles LIBRARY MODEL_DIRECTORY [CYCLES]
 * Links nothing but libdl, so that dlclose really unloads. Memory may not grow with the cycles.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "llmcore/llmcore.h"

/* The first cycles fill caches of the loader and of the allocator. What is left after them may not
 * exceed this, which is less than one leaked handle of a model a cycle would take. */
enum { kWarmUp = 100, kMaxGrowthKilobytes = 256 };

static long ResidentKilobytes(void) {
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) pages = -1;
  if (file != NULL) fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int LineCount(const char* path, const char* word) {
  char line[4096];
  int count = 0;
  FILE* file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    if (strstr(line, word) != NULL) ++count;
  }
  if (file != NULL) fclose(file);
  return count;
}

/* memcpy, since ISO C does not convert void* to a function. */
#define FIND(library, name)                        \
  __typeof__(&name) p_##name;                      \
  do {                                             \
    void* symbol = dlsym(library, #name);          \
    if (symbol == NULL) return "no symbol " #name; \
    memcpy(&p_##name, &symbol, sizeof(symbol));    \
  } while (0)

/* NULL, or what went wrong. */
static const char* UseLibrary(void* library, const char* model_path) {
  static char message[1024];
  FIND(library, llmcore_error_message);
  FIND(library, llmcore_error_destroy);
  FIND(library, llmcore_model_options_create);
  FIND(library, llmcore_model_options_set_max_context);
  FIND(library, llmcore_model_options_destroy);
  FIND(library, llmcore_model_load);
  FIND(library, llmcore_model_destroy);
  FIND(library, llmcore_session_create);
  FIND(library, llmcore_session_append_message);
  FIND(library, llmcore_session_generate);
  FIND(library, llmcore_session_destroy);
  FIND(library, llmcore_sampling_params_create);
  FIND(library, llmcore_sampling_params_set_max_tokens);
  FIND(library, llmcore_sampling_params_destroy);
  FIND(library, llmcore_generation_next);
  FIND(library, llmcore_generation_destroy);

  llmcore_model_options* options = NULL;
  llmcore_sampling_params* params = NULL;
  llmcore_model* model = NULL;
  llmcore_session* session = NULL;
  llmcore_generation* generation = NULL;
  const llmcore_event* event = NULL;
  llmcore_error* error = p_llmcore_model_options_create(&options);
  if (!error) error = p_llmcore_model_options_set_max_context(options, 128);
  if (!error) error = p_llmcore_model_load(model_path, strlen(model_path), options, &model);
  if (!error) error = p_llmcore_session_create(model, &session);
  if (!error) error = p_llmcore_session_append_message(session, "user", 4, "1.1+2.3=?", 9);
  if (!error) error = p_llmcore_sampling_params_create(&params);
  if (!error) error = p_llmcore_sampling_params_set_max_tokens(params, 3);
  if (!error) error = p_llmcore_session_generate(session, params, &generation);
  int tokens = 0;
  while (!error && !(error = p_llmcore_generation_next(generation, &event)) && event) ++tokens;
  snprintf(message, sizeof(message), "%s", error ? p_llmcore_error_message(error) : "no tokens");
  const char* failure = error || tokens == 0 ? message : NULL;
  p_llmcore_error_destroy(error);
  p_llmcore_generation_destroy(generation);
  p_llmcore_sampling_params_destroy(params);
  p_llmcore_session_destroy(session);
  p_llmcore_model_destroy(model);
  p_llmcore_model_options_destroy(options);
  return failure;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: dlopen_cycles LIBRARY MODEL_DIRECTORY [CYCLES]\n");
    return 2;
  }
  const int cycles = argc > 3 ? atoi(argv[3]) : 1000;
  long settled = 0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    if (cycle == kWarmUp) settled = ResidentKilobytes();
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
      fprintf(stderr, "cycle %d: %s\n", cycle, dlerror());
      return 1;
    }
    const char* failure = UseLibrary(library, argv[2]);
    if (failure != NULL) {
      fprintf(stderr, "cycle %d: %s\n", cycle, failure);
      return 1;
    }
    dlclose(library);
    if (LineCount("/proc/self/maps", "libllmcore") != 0) {
      fprintf(stderr, "cycle %d: dlclose left the library mapped\n", cycle);
      return 1;
    }
    if (LineCount("/proc/self/status", "Threads:\t1\n") != 1) {
      fprintf(stderr, "cycle %d: a thread of the library lives on\n", cycle);
      return 1;
    }
  }
  const long growth = cycles > kWarmUp ? ResidentKilobytes() - settled : 0;
  printf("%d cycles, %ld KiB resident, %ld KiB more than after %d\n", cycles, ResidentKilobytes(),
         growth, (int)kWarmUp);
  return growth > kMaxGrowthKilobytes ? 1 : 0;
}
