#include "lib/io/anything.h"
