#define LLMCORE_KERNEL_SET baseline
#define LLMCORE_KERNEL_SET_NAME "baseline"
#include "lib/cpu/kernels/kernel_set.h"
