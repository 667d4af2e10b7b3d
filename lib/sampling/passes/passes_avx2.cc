#define LLMCORE_PASS_SET avx2
#include "lib/sampling/passes/pass_set.h"
