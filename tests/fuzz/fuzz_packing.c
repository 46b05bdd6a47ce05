/* Codes under scales and packed weights: config.json and the headers of two safetensors files, from opening
 * to numbers. An input is the three texts, the first two ended by a newline; the data behind a header is made
 * up as far as it says that there is some. Every number that can be asked for is read within its tensors, and
 * the two checkpoints are matched. */
#include "fuzzlib.h"

#include "compare/match.h"
#include "formats/checkpoint.h"
#include "formats/decoders/scaled.h"

#include <ctype.h>

enum { MOST_DATA = 1 << 18, MOST_READ = 1 << 14, STEP = 1000 };

static char dirs[2][128];

static void remove_folders(void)
{
    for (int i = 0; i < 2; i++) {
        fuzz_unlink(dirs[i], "config.json");
        fuzz_unlink(dirs[i], "model.safetensors");
        rmdir(dirs[i]);
    }
}

/* The largest end of data that a header names, below a bound. */
static size_t data_of(const char *text, size_t n)
{
    static const char key[] = "data_offsets\":[";
    size_t most = 0;
    for (size_t i = 0; i + sizeof key < n; i++) {
        if (memcmp(text + i, key, sizeof key - 1) != 0)
            continue;
        size_t at = i + sizeof key - 1, end = 0;
        while (at < n && (isdigit((unsigned char)text[at]) || text[at] == ','))
            end = text[at] == ',' ? 0 : 10 * end + (size_t)(text[at] - '0'),
            end = end < MOST_DATA ? end : MOST_DATA, at++;
        most = end > most ? end : most;
    }
    return most;
}

static void write_model(int fd, const char *header, size_t n)
{
    static unsigned char file[MOST_DATA + (1 << 16)];
    size_t data = data_of(header, n);
    n = n < (1 << 15) ? n : 1 << 15;
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data; i++)
        file[8 + n + i] = (unsigned char)(i * 37 + 11);
    fuzz_write(fd, file, 8 + n + data);
}

static void read_all(struct checkpoint *c, const struct stored_tensor *t, struct fuzz *f)
{
    static uint64_t out[STEP];
    struct scaled s;
    int64_t bytes = decoder_scratch_bytes(t, STEP);
    if (dtype_bits(decoder_type(t)) % 8 != 0 || (t->decoding && t->decoding->problem) || bytes > FUZZ_BUDGET)
        return;
    if (t->decoding && t->decoding->by == &decoder_scaled) {
        FUZZ_CHECK(scaled_of(t->decoding, &s));
        for (int64_t i = 0; i < t->elements && i < MOST_READ; i++) {
            int64_t at = scale_grid_at(&s.grid, i % 2 ? i : t->elements - 1 - i);
            FUZZ_CHECK(at >= 0 && at < s.scale->elements);
        }
    }
    struct decoder_scratch scratch = {.v = malloc((size_t)bytes + 1), .bytes = bytes, .most = STEP};
    for (int64_t i = 0; i < t->elements && i < MOST_READ && f->err.code == ERR_OK; i += STEP)
        checkpoint_numbers(c, t, i, t->elements - i < STEP ? t->elements - i : STEP, &scratch, out, &f->err);
    free(scratch.v);
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
    static int fds[3] = {-1, -1, -1};
    struct fuzz f;
    if (fds[0] < 0) {
        for (int i = 0; i < 3; i++)
            fds[i] = fuzz_memory_file();
        for (int i = 0; i < 2; i++) {
            fuzz_folder(dirs[i], sizeof dirs[i]);
            fuzz_link(fds[i], dirs[i], "model.safetensors");
            fuzz_link(fds[2], dirs[i], "config.json");
        }
        atexit(remove_folders);
    }
    const char *text = (const char *)data, *end = text + size;
    const char *first = size ? memchr(text, '\n', size) : NULL;
    const char *second = first ? memchr(first + 1, '\n', (size_t)(end - first - 1)) : NULL;
    if (!second)
        return 0;
    fuzz_write(fds[2], text, (size_t)(first - text));
    write_model(fds[0], first + 1, (size_t)(second - first - 1));
    write_model(fds[1], second + 1, (size_t)(end - second - 1));
    fuzz_begin(&f);
    fuzz_end(&f, try_both(&f));
    return 0;
}
