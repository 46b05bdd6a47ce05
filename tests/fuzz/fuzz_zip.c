/* The directory of a zip archive (zip.h). */
#include "fuzzlib.h"

#include "formats/torch/zip.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = DISK "/f.zip";
    static int file;
    struct fuzz f;
    struct zip z;
    file = file ? file : disk_file(path);
    disk_write(file, data, size);
    int fd = open(path, O_RDONLY);
    fuzz_begin(&f);
    err_t code = zip_open(&z, "f.zip", fd, (int64_t)size, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < z.nentries; i++) {
        const struct zip_entry *entry = &z.entries[i];
        char *bytes;
        FUZZ_CHECK(entry->offset_bytes >= 0 && entry->size_bytes >= 0 &&
                   entry->size_bytes <= (int64_t)size - entry->offset_bytes);
        FUZZ_CHECK(zip_find(&z, entry->name) == entry);
        FUZZ_CHECK(zip_read(&z, entry, FUZZ_BUDGET, &f.arena, &bytes, &f.err) == ERR_OK);
        if (entry->size_bytes > 0)
            FUZZ_CHECK(memcmp(bytes, data + entry->offset_bytes, (size_t)entry->size_bytes) == 0);
        arena_drop(&f.arena, bytes);
    }
    close(fd);
    fuzz_end(&f, code);
    return 0;
}
