/* The config.json of a checkpoint (model_config.h). It never fails: what is wrong with it is kept as text. */
#include "fuzzlib.h"

#include "formats/model_config.h"

static char dir[128];

static void remove_folder(void)
{
    fuzz_unlink(dir, "config.json");
    rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct fuzz f;
    struct model_config m = {0};
    if (fd < 0) {
        fd = fuzz_memory_file();
        fuzz_folder(dir, sizeof dir);
        fuzz_link(fd, dir, "config.json");
        atexit(remove_folder);
    }
    fuzz_write(fd, data, size);
    fuzz_begin(&f);
    err_t code = model_config_read(&m, dir, &f.arena, &f.err);
    FUZZ_CHECK(code == ERR_OK || code == ERR_SYSTEM);
    FUZZ_CHECK(code != ERR_OK || (m.path && m.layers >= 0));
    for (const char *p = m.problem; p && *p; p++)
        FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    fuzz_end(&f, code);
    return 0;
}
