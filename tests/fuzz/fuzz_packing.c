/* Codes under scales and packed weights: config.json and the headers of two safetensors files, from opening
 * to numbers. An input is the three texts, the first two ended by a newline; the data behind a header is made
 * up as far as it says that there is some. Every number that can be asked for is read within its tensors, and
 * the two checkpoints are matched. */
#include "readlib.h"

#include "compare/match.h"
#include "formats/decoders/scaled.h"

enum { MOST_DATA = 1 << 16, MOST_HEADER = 1 << 15, STEP = 1000 };

static const char *const dirs[2] = {DISK "/base", DISK "/tuned"};

static void write_model(struct fuzz *f, int file, const char *header, size_t n)
{
    static unsigned char made_up[MOST_DATA];
    size_t data = fuzz_data_end(header, n, MOST_DATA);
    unsigned char *bytes;
    n = n < MOST_HEADER ? n : MOST_HEADER;
    FUZZ_CHECK(arena_array(&f->arena, "model", (int64_t)(8 + n + data), &bytes, &f->err) == ERR_OK);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)n >> (8 * i));
    if (n > 0)
        memcpy(bytes + 8, header, n);
    for (size_t i = 0; made_up[0] == 0 && i < MOST_DATA; i++)
        made_up[i] = (unsigned char)(i * 37 + 11);
    memcpy(bytes + 8 + n, made_up, data);
    disk_write(file, bytes, 8 + n + data);
}

/* Each code has a scale. */
static void read_all(struct checkpoint *c, const struct stored_tensor *t, struct fuzz *f)
{
    struct scaled s;
    if (t->decoding && !t->decoding->problem && t->decoding->by == &decoder_scaled) {
        FUZZ_CHECK(scaled_of(t->decoding, &s));
        for (int64_t i = 0; i < t->elements && i < READ_MOST; i++) {
            int64_t at = scale_grid_at(&s.grid, i % 2 ? i : t->elements - 1 - i);
            FUZZ_CHECK(at >= 0 && at < s.scale->elements);
        }
    }
    fuzz_read_numbers(f, c, t, STEP);
}

static err_t try_both(struct fuzz *f)
{
    static const struct match_policy policy = {
        .rows = MATCH_ROWS_COMMON, .skip_unmatched = 1, .include_mtp = 1};
    struct checkpoint c[2] = {0};
    struct match m;
    for (int i = 0; i < 2 && f->err.code == ERR_OK; i++)
        checkpoint_open(&c[i], dirs[i], NULL, &f->arena, &f->err);
    for (int i = 0; i < 2 && f->err.code == ERR_OK; i++)
        for (int64_t k = 0; k < c[i].ntensors && f->err.code == ERR_OK; k++)
            read_all(&c[i], &c[i].tensors[k], f);
    if (f->err.code == ERR_OK)
        match_build(&m, &c[0], &c[1], &policy, "c", "n", NULL, &f->arena, &f->err);
    for (int64_t k = 0; f->err.code == ERR_OK && k < m.main.layout.ntensors; k++) {
        FUZZ_CHECK(m.main.layout.tensors[k].elements <= m.main.tuned[k]->elements);
        read_all(&c[1], m.main.tuned[k], f);
    }
    for (int i = 0; i < 2; i++)
        checkpoint_close(&c[i]);
    return f->err.code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int files[4];
    struct fuzz f;
    const char *text = (const char *)data, *end = text + size;
    const char *first = size ? memchr(text, '\n', size) : NULL;
    const char *second = first ? memchr(first + 1, '\n', (size_t)(end - first - 1)) : NULL;
    if (!second)
        return 0;
    if (!files[0]) {
        files[0] = disk_file(DISK "/base/model.safetensors");
        files[1] = disk_file(DISK "/tuned/model.safetensors");
        files[2] = disk_file(DISK "/base/config.json");
        files[3] = disk_file(DISK "/tuned/config.json");
    }
    for (int i = 0; i < 2; i++)
        disk_write(files[2 + i], text, (size_t)(first - text));
    fuzz_begin(&f);
    write_model(&f, files[0], first + 1, (size_t)(second - first - 1));
    write_model(&f, files[1], second + 1, (size_t)(end - second - 1));
    fuzz_end(&f, try_both(&f));
    return 0;
}
