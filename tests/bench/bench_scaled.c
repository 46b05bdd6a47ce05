/* Codes under scales: how fast weights of eight and four bits become bf16, against reading their bytes alone.
 *
 *   bench_scaled FOLDER [--mb N] [--runs N] [--json FILE]
 *
 * Each row has a model of one weight in FOLDER (a memory file system keeps the disk out of it), of N million
 * elements (default 64); sinew reads it as delta does, in pieces of 65536 elements, from the page cache. */
#include "../files.h"
#include "benchlib.h"

#include "base/log.h"
#include "formats/checkpoint.h"

#include <getopt.h>
#include <string.h>

enum { PIECE = 1 << 16, COLS = 4096, MOST = 3 };

/* Shapes per row of COLS elements: bytes of codes, scales. rows: how many rows share a row of scales. */
struct kind {
    const char *what, *codes, *scales, *global;
    enum dtype code, scale;
    int64_t per_byte, block_rows, block_cols;
};

static const struct kind kinds[] = {
    {"FP8 E4M3, F32 scales of 128x128", "x.weight", "x.weight_scale_inv", NULL, DTYPE_F8_E4M3, DTYPE_F32, 1,
     128, 128},
    {"FP8 E4M3, BF16 scales of rows", "x.weight", "x.weight_scale", NULL, DTYPE_F8_E4M3, DTYPE_BF16, 1, 1,
     COLS},
    {"FP8 E4M3, one F32 scale", "x.weight", "x.weight_scale", NULL, DTYPE_F8_E4M3, DTYPE_F32, 1, 0, COLS},
    {"FP8 E5M2, BF16 scales of rows", "x.weight", "x.weight_scale", NULL, DTYPE_F8_E5M2, DTYPE_BF16, 1, 1,
     COLS},
    {"FP8 E4M3FNUZ, BF16 scales of rows", "x.weight", "x.weight_scale", NULL, DTYPE_F8_E4M3FNUZ, DTYPE_BF16,
     1, 1, COLS},
    {"MXFP8", "x.weight", "x.weight_scale", NULL, DTYPE_F8_E4M3, DTYPE_U8, 1, 1, 32},
    {"MXFP4", "x.weight_packed", "x.weight_scale", NULL, DTYPE_U8, DTYPE_U8, 2, 1, 32},
    {"NVFP4", "x.weight_packed", "x.weight_scale", "x.weight_global_scale", DTYPE_U8, DTYPE_F8_E4M3, 2, 1,
     16},
    {"MXFP4 of gpt-oss, turned", "x.weight_blocks", "x.weight_scales", NULL, DTYPE_U8, DTYPE_U8, 2, 1, 32},
};

struct bench {
    struct mem mem;
    struct arena arena;
    struct err err;
    char folder[300];
};

static void must(const struct bench *b, int fine)
{
    if (fine)
        return;
    fprintf(stderr, "bench_scaled: %s\n", b->err.text[0] ? b->err.text : "the data cannot be written");
    exit(1);
}

static void *some(int64_t bytes)
{
    unsigned char *v = malloc((size_t)bytes);
    uint64_t x = 1;
    for (int64_t i = 0; v && i < bytes; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        v[i] = (unsigned char)(0x30 + (x >> 33) % 16); /* no NaN, no Inf, in any of the types */
    }
    return v;
}

/* A square-ish weight of so many elements, or of so many experts. */
static void write_kind(struct bench *b, const struct kind *k, int64_t elements)
{
    const int64_t rows = elements / COLS, turned = strstr(k->codes, "_blocks") != NULL;
    const int64_t experts = rows / COLS > 0 ? rows / COLS : 1;
    struct stored_tensor t[MOST] = {
        {.name = k->codes, .dtype = k->code, .ndim = 2, .dims = {rows, COLS / k->per_byte}},
        {.name = k->scales, .dtype = k->scale, .ndim = 2, .dims = {rows, COLS / k->block_cols}},
        {.name = k->global, .dtype = DTYPE_F32, .ndim = 1, .dims = {1}}};
    if (k->block_rows == 0)
        t[1].ndim = 0;
    else
        t[1].dims[0] = (rows + k->block_rows - 1) / k->block_rows;
    if (turned) {
        t[0].ndim = 4, t[1].ndim = 3;
        memcpy(t[0].dims, (int64_t[]){experts, rows / experts, COLS / 32, 16}, 4 * sizeof *t[0].dims);
        memcpy(t[1].dims, t[0].dims, 3 * sizeof *t[1].dims);
    }
    const void *bytes[] = {some(elements), some(elements), some(4)};
    char path[400];
    snprintf(path, sizeof path, "%s/model.safetensors", b->folder);
    must(b, bytes[0] && bytes[1] && bytes[2] &&
                model_write(path, t, k->global ? 3 : 2, bytes, NULL, 0, &b->arena, &b->err) == 0);
    for (int i = 0; i < 3; i++)
        free((void *)bytes[i]);
}

static double decoded(struct bench *b, struct checkpoint *c, const struct stored_tensor *t, uint16_t *out)
{
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, PIECE), .most = PIECE};
    s.v = malloc((size_t)s.bytes);
    double started = clock_sec();
    for (int64_t i = 0; i < t->elements; i += PIECE)
        must(b, checkpoint_numbers(c, t, i, min64(PIECE, t->elements - i), &s, out, &b->err) == ERR_OK);
    double sec = clock_sec() - started;
    free(s.v);
    return sec;
}

static double plainly(struct bench *b, struct checkpoint *c, const struct stored_tensor *t, int64_t per_byte,
                      uint16_t *out)
{
    const struct stored_tensor *codes = t->file >= 0 ? t : t->decoding->helpers[0];
    double started = clock_sec();
    for (int64_t i = 0; i < codes->elements; i += PIECE / per_byte)
        must(b, checkpoint_read(c, codes, i, min64(PIECE / per_byte, codes->elements - i), out, &b->err) ==
                    ERR_OK);
    return clock_sec() - started;
}

static void measure(struct bench *b, const struct kind *k, int64_t elements, int runs, FILE *json)
{
    double sec[MAX_RUNS], plain[MAX_RUNS], ratio[MAX_RUNS], least, most, a, z;
    static uint16_t out[PIECE];
    struct checkpoint c;
    write_kind(b, k, elements);
    must(b, checkpoint_open(&c, b->folder, NULL, &b->arena, &b->err) == ERR_OK);
    const struct stored_tensor *t = checkpoint_find(&c, "x.weight");
    must(b, t && t->decoding && !t->decoding->problem);
    decoded(b, &c, t, out); /* not counted */
    for (int r = 0; r < runs; r++) {
        sec[r] = decoded(b, &c, t, out);
        plain[r] = plainly(b, &c, t, k->per_byte, out);
        ratio[r] = plain[r] / sec[r];
    }
    checkpoint_close(&c);
    double mid = median(ratio, runs, &least, &most),
           rate = (double)t->elements / median(sec, runs, &a, &z) / 1e9;
    printf("%-36s %6.2f billion elements a second, ratio to reading the bytes %.2f (%.2f to %.2f)\n", k->what,
           rate, mid, least, most);
    if (json)
        fprintf(
            json,
            "{\"what\": \"%s, decoded\", \"rival\": \"reading its bytes\", \"ratio\": %.4g, \"least\": %.4g, "
            "\"most\": %.4g, \"target\": null, \"runs\": %d, \"elements_per_sec\": %.4g}\n",
            k->what, mid, least, most, runs, 1e9 * rate);
    arena_reset(&b->arena);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"mb", required_argument, NULL, 'm'},
                                            {"json", required_argument, NULL, 'j'},
                                            {0}};
    int runs = 5, wrong = 0, o;
    int64_t elements = 64 << 20;
    const char *json_path = NULL;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (o == 'r')
            runs = (int)strtol(optarg, NULL, 10);
        else if (o == 'm')
            elements = strtoll(optarg, NULL, 10) << 20;
        else if (o == 'j')
            json_path = optarg;
        else
            wrong = 1;
    if (wrong || argc - optind != 1 || runs < 1 || runs > MAX_RUNS || elements < 1 << 20 ||
        elements > 1 << 30) {
        fprintf(stderr, "usage: bench_scaled FOLDER [--mb N] [--runs N] [--json FILE]\n");
        return 2;
    }
    struct bench b = {.folder = ""};
    mem_init(&b.mem, 0);
    arena_init(&b.arena, &b.mem);
    err_clear(&b.err);
    snprintf(b.folder, sizeof b.folder, "%s/scaled", argv[optind]);
    mkdir(b.folder, 0700);
    FILE *json = json_path ? fopen(json_path, "a") : NULL;
    must(&b, !json_path || json);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        measure(&b, &kinds[i], elements, runs, json);
    if (json)
        fclose(json);
    arena_release(&b.arena);
    folder_remove(b.folder);
    return 0;
}
