/* What the targets share that read what they opened (checkpoint.h). */
#ifndef SINEW_FUZZ_READLIB_H
#define SINEW_FUZZ_READLIB_H

#include "fuzzlib.h"

#include "formats/checkpoint.h"
#include "formats/format.h"
#include "formats/lora/lora.h"

enum { READ_ENDS = 512, READ_MOST = 1 << 12 };

/* As checkpoint_open, of a format that is known: to tell it by the folder's names, which no input changes,
 * took a quarter of the time. path: what the format finds in the folder. Without a config.json. */
static inline err_t fuzz_open(struct fuzz *f, struct checkpoint *c, const char *format, const char *path,
                              const struct choice *choice)
{
    struct stored_list list = {0};
    *c = (struct checkpoint){.format = format, .path = path};
    TRY(format_named(format)->open(&list, path, choice, &f->arena, &f->err));
    TRY(lora_complete(&list, path, choice, &f->arena, &f->err));
    stored_sort(&list);
    TRY(decoder_resolve(&list, &c->config, &f->arena, &f->err));
    c->nfiles = list.nfiles;
    c->files = list.files;
    c->ntensors = list.ntensors;
    c->tensors = list.tensors;
    return ERR_OK;
}

/* The first and the last elements of each tensor, as they are stored: every piece lies in its file. */
static inline void fuzz_read_ends(struct checkpoint *c)
{
    static char buf[READ_ENDS * 8];
    struct err e;
    err_clear(&e);
    for (int64_t i = 0; i < c->ntensors; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        int64_t n = min64(t->elements, READ_ENDS);
        FUZZ_CHECK(t->elements >= 0 && t->file >= 0 && t->file < c->nfiles);
        if (n == 0 || dtype_bits(t->dtype) % 8 != 0)
            continue;
        FUZZ_CHECK(checkpoint_read(c, t, 0, n, buf, &e) == ERR_OK);
        if (n < t->elements)
            FUZZ_CHECK(checkpoint_read(c, t, t->elements - n, n, buf, &e) == ERR_OK);
    }
}

/* All numbers of a tensor that has any, `step` at a time; of more than READ_MOST the first half as many and
 * the last. f's error where they cannot be read. */
static inline void fuzz_read_numbers(struct fuzz *f, struct checkpoint *c, const struct stored_tensor *t,
                                     int64_t step)
{
    char *out, *v;
    struct decoder_scratch s = {.bytes = decoder_scratch_bytes(t, step), .most = step};
    if (!decoder_is_number(t) || dtype_bits(decoder_type(t)) % 8 != 0 ||
        (t->decoding && t->decoding->problem) ||
        arena_array(&f->arena, "fuzz.scratch", s.bytes, &v, &f->err) != ERR_OK)
        return;
    s.v = v;
    FUZZ_CHECK(arena_array(&f->arena, "fuzz.numbers", step * 8, &out, &f->err) == ERR_OK);
    for (int64_t i = 0, n; i < t->elements && f->err.code == ERR_OK; i += n) {
        if (i >= READ_MOST / 2 && i < t->elements - READ_MOST / 2)
            i = t->elements - READ_MOST / 2;
        n = min64(t->elements - i, step);
        checkpoint_numbers(c, t, i, n, &s, out, &f->err);
    }
    arena_drop(&f->arena, out);
    arena_drop(&f->arena, v);
}

#endif
