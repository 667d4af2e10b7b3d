#define LLMCORE_PASS_SET baseline
#include "lib/sampling/passes/pass_set.h"
