#include "command/planning/samples.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/logits/logits.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD = 128, /* bytes of an .npy's head, a multiple of 64 */
    BLOCK = 128 /* rows and columns that have a scale */
};

/* ---- logits ---- */

/* The head of a file of rows x columns, as NumPy writes version 1.0. */
static void make_head(char head[HEAD], int64_t rows, int64_t columns)
{
    static const char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, HEAD - 10, 0};
    memset(head, ' ', HEAD);
    memcpy(head, magic, sizeof magic);
    int n = snprintf(head + sizeof magic, HEAD - sizeof magic,
                     "{'descr': '|V2', 'fortran_order': False, 'shape': (%lld, %lld), }", (long long)rows,
                     (long long)columns);
    head[(int)sizeof magic + n] = ' ';
    head[HEAD - 1] = '\n';
}

static err_t write_rows(struct logits *l, int fd, const char *to, struct arena *a, struct err *e)
{
    double *row;
    uint16_t *half;
    TRY(arena_array(a, "samples.row", l->vocabulary, &row, e));
    TRY(arena_array(a, "samples.half", l->vocabulary, &half, e));
    TRY(logits_reserve(l, 1, a, e));
    for (int64_t t = 0; t < l->tokens; t++) {
        TRY(logits_read(l, t, 1, row, e));
        for (int64_t i = 0; i < l->vocabulary; i++) {
            float x = (float)row[i];
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            half[i] = (uint16_t)(bits >> 16);
        }
        TRY(file_put(fd, to, half, l->vocabulary * (int64_t)sizeof *half, 0, e));
    }
    return ERR_OK;
}

err_t samples_halves(const char *from, const char *to, struct arena *a, struct err *e)
{
    struct logits l;
    char head[HEAD];
    int fd = -1;
    if (logits_open(&l, from, a, e) == ERR_OK && file_create(to, &fd, e) == ERR_OK) {
        make_head(head, l.tokens, l.vocabulary);
        if (file_put(fd, to, head, HEAD, 0, e) == ERR_OK)
            write_rows(&l, fd, to, a, e);
        close(fd);
    }
    logits_close(&l);
    return e->code;
}

/* ---- FP8 ---- */

/* The entries of a layer in a safetensors head: a matrix and its scales. */
static err_t add_layer(struct text *head, int64_t layer, int64_t width, int64_t *at, struct err *e)
{
    const int64_t blocks = width / BLOCK, codes = width * width,
                  scales = blocks * blocks * (int64_t)sizeof(float);
    TRY(text_add(head, e,
                 "%c\"model.layers.%lld.mlp.up_proj.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[%lld,%lld],"
                 "\"data_offsets\":[%lld,%lld]}",
                 layer ? ',' : '{', (long long)layer, (long long)width, (long long)width, (long long)*at,
                 (long long)(*at + codes)));
    *at += codes;
    TRY(text_add(
        head, e,
        ",\"model.layers.%lld.mlp.up_proj.weight_scale_inv\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],"
        "\"data_offsets\":[%lld,%lld]}",
        (long long)layer, (long long)blocks, (long long)blocks, (long long)*at, (long long)(*at + scales)));
    *at += scales;
    return ERR_OK;
}

/* The head's length in eight bytes, the least first, then the head, filled up to a multiple of eight. */
static err_t put_head(int fd, const char *path, int64_t layers, int64_t width, struct arena *a, struct err *e)
{
    struct text head = {.arena = a};
    unsigned char length[8];
    int64_t at = 0;
    for (int64_t k = 0; k < layers; k++)
        TRY(add_layer(&head, k, width, &at, e));
    TRY(text_add(&head, e, "}"));
    while (head.used % 8)
        TRY(text_add(&head, e, " "));
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)head.used >> 8 * i);
    TRY(file_put(fd, path, length, sizeof length, 0, e));
    return file_put(fd, path, head.text, head.used, 0, e);
}

/* The same codes for both sides but for what is turned. 0x7f and 0xff would be NaN. */
static void make_codes(unsigned char *codes, int64_t n, int64_t layer, int tuned)
{
    uint64_t state = 0x9e3779b97f4a7c15u * (uint64_t)(layer + 1);
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        const unsigned draw = (unsigned)(state >> 40);
        codes[i] = (unsigned char)((draw & 0x80) | (draw & 0x7f) % 0x7e);
        codes[i] ^= tuned && (draw >> 8) % 20 == 0 ? 1 : 0;
    }
}

static err_t put_layers(int fd, const char *path, int64_t layers, int64_t width, int tuned, struct arena *a,
                        struct err *e)
{
    const int64_t n = width * width, blocks = width / BLOCK * (width / BLOCK);
    unsigned char *codes;
    float *scales;
    TRY(arena_array(a, "samples.codes", n, &codes, e));
    TRY(arena_array(a, "samples.scales", blocks, &scales, e));
    for (int64_t i = 0; i < blocks; i++)
        scales[i] = 1e-3f;
    for (int64_t k = 0; k < layers; k++) {
        make_codes(codes, n, k, tuned);
        TRY(file_put(fd, path, codes, n, 0, e));
        TRY(file_put(fd, path, scales, blocks * (int64_t)sizeof *scales, 0, e));
    }
    return ERR_OK;
}

err_t samples_fp8(const char *folder, int64_t layers, int64_t width, int tuned, struct arena *a,
                  struct err *e)
{
    struct text config = {.arena = a};
    const char *path = path_join(a, folder, "model.safetensors", e),
               *settings = path_join(a, folder, "config.json", e);
    int fd = -1;
    TRY(e->code);
    TRY(path_make_dir(folder, e));
    TRY(text_add(&config, e,
                 "{\"num_hidden_layers\": %lld, \"quantization_config\": {\"quant_method\": \"fp8\", "
                 "\"weight_block_size\": [%d, %d]}}\n",
                 (long long)layers, (int)BLOCK, (int)BLOCK));
    TRY(file_write(settings, config.text, config.used, e));
    TRY(file_create(path, &fd, e));
    if (put_head(fd, path, layers, width, a, e) == ERR_OK)
        put_layers(fd, path, layers, width, tuned, a, e);
    close(fd);
    return e->code;
}
