/* A DeepSpeed folder (zero.h) of one rank: the input is the pickle of its model states, then that of its
 * optimiser states, in archives that are in order, so that what is said of shapes, groups and paddings is
 * reached. Its first byte: 1 for stage 3, 2 for the
 * model's weights, 4 for a universal checkpoint, whose masters the second pickle is then; its next two: how
 * long the first pickle is. Then every tensor is read. */
#include "fuzzlib.h"

#include "formats/checkpoint.h"
#include "formats/format.h"

#include <sys/stat.h>

enum { HEAD = 3, SHARDED = 1, MODEL = 2, UNIVERSAL = 4, FOLDERS = 4 };

static const char *const names[FOLDERS][3] = {
    {"mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt", NULL},
    {"zero_pp_rank_0_mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", NULL},
    {"mp_rank_00_model_states.pt", "zero/a/fp32.pt", "zero/b/fp32.pt"},
    {"zero_pp_rank_0_mp_rank_00_model_states.pt", "zero/a/fp32.pt", "zero/b/fp32.pt"}};
static const char *const below[] = {"zero", "zero/a", "zero/b"};
static struct folder {
    char dir[128];
} folders[FOLDERS];
static int fds[2] = {-1, -1};

static void remove_folders(void)
{
    char path[256];
    for (int i = 0; i < FOLDERS; i++) {
        for (int k = 0; k < 3 && names[i][k]; k++)
            fuzz_unlink(folders[i].dir, names[i][k]);
        for (int k = 2; i >= 2 && k >= 0; k--) {
            snprintf(path, sizeof path, "%s/%s", folders[i].dir, below[k]);
            rmdir(path);
        }
        rmdir(folders[i].dir);
    }
}

static void make_folders(void)
{
    for (int k = 0; k < 2; k++)
        fds[k] = fuzz_memory_file();
    for (int i = 0; i < FOLDERS; i++) {
        char path[256];
        fuzz_folder(folders[i].dir, sizeof folders[i].dir);
        for (int k = 0; i >= 2 && k < 3; k++) {
            snprintf(path, sizeof path, "%s/%s", folders[i].dir, below[k]);
            FUZZ_CHECK(mkdir(path, 0700) == 0);
        }
        for (int k = 0; k < 3 && names[i][k]; k++)
            fuzz_link(fds[k > 0], folders[i].dir, names[i][k]);
    }
    atexit(remove_folders);
}

static void put(struct fuzz *f, int fd, const uint8_t *data, size_t size)
{
    unsigned char *archive;
    FUZZ_CHECK(arena_array(&f->arena, "archive", (int64_t)size + FUZZ_ARCHIVE_MORE, &archive, &f->err) ==
               ERR_OK);
    fuzz_write(fd, archive, fuzz_torch_archive(data, size, archive));
    arena_drop(&f->arena, archive);
}

/* The last elements of each tensor, as they are stored. */
static void read_all(struct fuzz *f, struct checkpoint *c)
{
    unsigned char buf[4096];
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        int64_t most = (int64_t)sizeof buf / (dtype_bits(t->dtype) / 8), n = min64(t->elements, most);
        FUZZ_CHECK(n >= 0 && t->file >= 0);
        if (n > 0)
            FUZZ_CHECK(checkpoint_read(c, t, t->elements - n, n, buf, &f->err) == ERR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct checkpoint c = {0};
    struct choice choice = {.weights = CHOICE_WEIGHTS_MASTERS};
    if (fds[0] < 0)
        make_folders();
    if (size < HEAD)
        return 0;
    size_t first = data[1] | (size_t)data[2] << 8;
    first = first < size - HEAD ? first : size - HEAD;
    if (data[0] & MODEL)
        choice.weights = CHOICE_WEIGHTS_MODEL;
    fuzz_begin(&f);
    put(&f, fds[0], data + HEAD, first);
    put(&f, fds[1], data + HEAD + first, size - HEAD - first);
    err_t code = checkpoint_open(&c, folders[(data[0] & SHARDED) + (data[0] & UNIVERSAL ? 2 : 0)].dir,
                                 &choice, &f.arena, &f.err);
    if (code == ERR_OK)
        read_all(&f, &c);
    checkpoint_close(&c);
    fuzz_end(&f, code);
    return 0;
}
