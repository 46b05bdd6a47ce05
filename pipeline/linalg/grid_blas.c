#include "linalg/grid_blas.h"

#include "linalg/grid_lapack.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

static const char VARIABLE[] = "OPENBLAS_CORETYPE";

#if defined(__x86_64__)
/* Kernels without AVX2 and FMA, by what openblas_get_corename calls them. */
static int without_avx2(const char *core)
{
    static const char *const names[] = {
        "Unknown",      "Katmai", "Coppermine", "Northwood", "Prescott",    "Banias",     "Atom",
        "Core2",        "Penryn", "Dunnington", "Nehalem",   "Sandybridge", "Athlon",     "Opteron",
        "Opteron_SSE3", "Nano",   "Barcelona",  "Bobcat",    "Bulldozer",   "Piledriver", "Steamroller"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(core, names[i]) == 0)
            return 1;
    return 0;
}

/* Kernels that this processor can run, where those that run are older than it and others may be chosen; else
 * NULL. */
static const char *better_kernels(void)
{
    if (!strstr(openblas_get_config(), "DYNAMIC_ARCH") || !without_avx2(openblas_get_corename()) ||
        !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return NULL;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl")
               ? "SkylakeX"
               : "Haswell";
}
#else
static const char *better_kernels(void)
{
    return NULL;
}
#endif

void grid_blas_start(char **argv)
{
    char self[PATH_MAX];
    if (getenv(VARIABLE) || getauxval(AT_BASE) == 0) /* 0: started by the loader's name, which is `self` */
        return;
    const char *kernels = better_kernels();
    ssize_t n = kernels ? readlink("/proc/self/exe", self, sizeof self - 1) : -1;
    if (n < 0 || setenv(VARIABLE, kernels, 0) != 0)
        return;
    self[n] = '\0'; /* by its own name, which ps and core files show */
    execv(self, argv);
    unsetenv(VARIABLE); /* it could not be: all goes on as it is */
}

/* OpenBLAS takes its buffer, 128 MB of addresses, at its first work, and tries for ever where it gets none:
 * here there is room (launch_room), later there may not be. */
static void take_buffer(void)
{
    const int one = 1;
    const double unit = 1, zero = 0;
    double x = 0, y = 0;
    dsymv_("L", &one, &unit, &unit, &one, &x, &one, &zero, &y, &one, 1);
}

int grid_blas_threads(void)
{
    int asked = getenv("OPENBLAS_NUM_THREADS") || getenv("OMP_NUM_THREADS") ? openblas_get_num_threads() : 1;
    openblas_set_num_threads(asked);
    take_buffer();
    return asked;
}

const char *grid_blas_version(char *text, int size)
{
    snprintf(text, (size_t)size, "%s", openblas_get_config());
    return text;
}
