/* The shards of one or two ranks (torch/fsdp.h, torch/shard.h). The input is a byte that says how many, and
 * the data.pkl of rank 0, in an archive that is in order; rank 1 has the same, or what stands behind a first
 * STOP and "\0". Then every tensor is read. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"

static const char *const names[2][2] = {{"model_world_size_1_rank_0.pt"},
                                        {"model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"}};
static struct one_dir {
    char dir[64];
} dirs[2];
static int fds[2];

static void remove_folders(void)
{
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k <= i; k++)
            fuzz_unlink(dirs[i].dir, names[i][k]);
        rmdir(dirs[i].dir);
    }
}

static void make_folders(void)
{
    for (int k = 0; k < 2; k++)
        fds[k] = fuzz_memory_file();
    for (int i = 0; i < 2; i++) {
        fuzz_folder(dirs[i].dir, sizeof dirs[i].dir);
        for (int k = 0; k <= i; k++)
            fuzz_link(fds[k], dirs[i].dir, names[i][k]);
    }
    atexit(remove_folders);
}

static void write_archive(struct fuzz *f, int fd, const uint8_t *pickle, size_t n)
{
    unsigned char *archive;
    FUZZ_CHECK(arena_array(&f->arena, "archive", (int64_t)n + FUZZ_ARCHIVE_MORE, &archive, &f->err) ==
               ERR_OK);
    fuzz_write(fd, archive, fuzz_torch_archive(pickle, n, archive));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c;
    if (!dirs[0].dir[0])
        make_folders();
    if (size < 1)
        return 0;
    int two = data[0] & 1;
    const uint8_t *pickle = data + 1, *second = size > 1 ? memmem(pickle, size - 1, ".\0", 2) : NULL;
    size_t n = second ? (size_t)(second + 1 - pickle) : size - 1;
    fuzz_begin(&f);
    write_archive(&f, fds[0], pickle, n);
    if (second)
        write_archive(&f, fds[1], second + 2, size - 1 - n - 1);
    else
        write_archive(&f, fds[1], pickle, n);
    err_t code = checkpoint_open(&c, dirs[two].dir, NULL, &f.arena, &f.err);
    for (int64_t i = 0; code == ERR_OK && i < c.ntensors; i++) {
        const struct stored_tensor *t = &c.tensors[i];
        char v[8];
        struct err ignored;
        err_clear(&ignored);
        FUZZ_CHECK(t->elements >= 0 && t->file >= 0 && t->file < c.nfiles);
        if (t->elements > 0 && dtype_bits(t->dtype) % 8 == 0) {
            FUZZ_CHECK(checkpoint_read(&c, t, 0, 1, v, &ignored) == ERR_OK);
            FUZZ_CHECK(checkpoint_read(&c, t, t->elements - 1, 1, v, &ignored) == ERR_OK);
        }
    }
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
