/* A study's YAML (config.h), with all stages. What is taken is read again as its resolved text, which must
 * resolve to itself. */
#include "fuzzlib.h"

#include "study/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct config c, again;
    struct problems problems;
    fuzz_begin(&f);
    err_t code = config_parse(&c, "s.yaml", (const char *)data, (int64_t)size, &problems, &f.arena, &f.err);
    for (int i = 0; i < problems.n; i++)
        for (const char *p = problems.list[i].text; *p; p++)
            FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    if (code == ERR_OK) {
        FUZZ_CHECK(c.study && c.output && c.resolved);
        err_t twice = config_parse(&again, "s.yaml", c.resolved, (int64_t)strlen(c.resolved), &problems,
                                   &f.arena, &f.err);
        for (int i = 0; i < problems.n; i++)
            fprintf(stderr, "%s\n", problems.list[i].text);
        if (twice == ERR_SYSTEM) /* twice the memory may not be there */
            code = twice;
        else
            FUZZ_CHECK(twice == ERR_OK && strcmp(c.resolved, again.resolved) == 0);
    }
    fuzz_end(&f, code);
    return 0;
}
