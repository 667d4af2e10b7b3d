#define LLMCORE_PASS_SET avx512
#include "lib/sampling/passes/pass_set.h"
