#include "formats/head.h"

#include "base/text.h"

#include <string.h>

enum { PIECE = 1 << 16 }; /* elements read and compared at once */

int head_is(const char *name, int64_t layer)
{
    return layer < 0 && (text_ends_with(name, "lm_head.weight") || text_ends_with(name, "embed_out.weight") ||
                         strcmp(name, "output.weight") == 0);
}

int head_is_embedding(const char *name, int64_t layer)
{
    static const char *const ends[] = {"embed_tokens.weight", "wte.weight", "tok_embeddings.weight",
                                       "embed_in.weight", "word_embeddings.weight"};
    for (size_t i = 0; layer < 0 && i < sizeof ends / sizeof *ends; i++)
        if (text_ends_with(name, ends[i]))
            return 1;
    return 0;
}

/* Two tensors of whole numbers' bits that may be compared without asking what they mean. */
static int alike(const struct stored_tensor *x, const struct stored_tensor *y)
{
    return x->dtype == y->dtype && x->ndim == y->ndim &&
           memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0 && decoder_is_number(x) &&
           decoder_is_number(y) && decoder_type(x) == decoder_type(y) && !decoder_change(x) &&
           !decoder_change(y);
}

/* One storage under two names. */
static int in_one_place(const struct stored_tensor *x, const struct stored_tensor *y)
{
    return x->file >= 0 && x->file == y->file && x->offset_bytes == y->offset_bytes && !x->strides &&
           !y->strides && !x->cut && !y->cut && !x->decoding && !y->decoding;
}

struct head_look {
    char *v[2];
    struct decoder_scratch scratch;
};

static err_t same_numbers(struct checkpoint *c, const struct stored_tensor *x, const struct stored_tensor *y,
                          struct head_look *look, int *same, struct err *e)
{
    size_t width = (size_t)dtype_bits(decoder_type(x)) / 8;
    *same = 1;
    for (int64_t done = 0; done < x->elements && *same; done += PIECE) {
        int64_t n = min64(PIECE, x->elements - done);
        TRY(checkpoint_numbers(c, x, done, n, &look->scratch, look->v[0], e));
        TRY(checkpoint_numbers(c, y, done, n, &look->scratch, look->v[1], e));
        *same = memcmp(look->v[0], look->v[1], (size_t)n * width) == 0;
    }
    return ERR_OK;
}

static err_t is_copy(struct checkpoint *c, const struct stored_tensor *head,
                     const struct stored_tensor *embedding, int *same, struct arena *a, struct err *e)
{
    struct head_look look;
    struct arena scratch;
    char *room;
    *same = in_one_place(head, embedding);
    if (*same)
        return ERR_OK;
    int64_t one = decoder_scratch_bytes(head, PIECE), two = decoder_scratch_bytes(embedding, PIECE);
    look.scratch = (struct decoder_scratch){.bytes = one > two ? one : two, .most = PIECE};
    arena_init(&scratch, a->mem);
    err_t code = arena_array(&scratch, "head.scratch", look.scratch.bytes, &room, e);
    look.scratch.v = room;
    for (int k = 0; k < 2 && code == ERR_OK; k++)
        code = arena_array(&scratch, "head.piece", PIECE * (int64_t)sizeof(int64_t), &look.v[k], e);
    if (code == ERR_OK)
        code = same_numbers(c, head, embedding, &look, same, e);
    arena_release(&scratch);
    return code;
}

err_t head_look(struct checkpoint *c, struct arena *a, struct err *e)
{
    const struct stored_tensor *head = NULL;
    if (c->head_looked || checkpoint_is_hollow(c)) /* where all are zero, none is a copy of another */
        return ERR_OK;
    for (int64_t i = 0; i < c->ntensors && !head; i++)
        head = head_is(c->tensors[i].name, c->tensors[i].layer) ? &c->tensors[i] : NULL;
    for (int64_t i = 0; head && i < c->ntensors && !c->copied_head; i++) {
        const struct stored_tensor *t = &c->tensors[i];
        int same = 0;
        if (!head_is_embedding(t->name, t->layer) || !alike(head, t))
            continue;
        TRY(is_copy(c, head, t, &same, a, e));
        if (same) {
            c->copied_head = head->name;
            c->parameters -= head->elements;
        }
    }
    c->head_looked = 1;
    return ERR_OK;
}
