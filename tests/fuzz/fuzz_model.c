/* The config.json of a checkpoint (model_config.h). It never fails: what is wrong with it is kept as text. */
#include "fuzzlib.h"

#include "formats/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file;
    struct fuzz f;
    struct model_config m = {0};
    file = file ? file : disk_file(DISK "/model/config.json");
    disk_write(file, data, size);
    fuzz_begin(&f);
    err_t code = model_config_read(&m, DISK "/model", &f.arena, &f.err);
    FUZZ_CHECK(code == ERR_OK || code == ERR_SYSTEM);
    FUZZ_CHECK(code != ERR_OK || (m.path && m.layers >= 0));
    for (const char *p = m.problem; p && *p; p++)
        FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
    fuzz_end(&f, code);
    return 0;
}
