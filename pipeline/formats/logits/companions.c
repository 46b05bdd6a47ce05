#include "formats/logits/companions.h"

#include <string.h>

static const char *const ids_names[] = {"token_ids", "input_ids", NULL};
static const char *const mask_names[] = {"mask",      "completion_mask", "response_mask",
                                         "loss_mask", "attention_mask",  NULL};

/* ---- which they are ---- */

static int64_t find(const struct stored_tensor *list, int64_t n, const char *const *names)
{
    for (int k = 0; names[k]; k++)
        for (int64_t i = 0; i < n; i++)
            if (strcmp(list[i].name, names[k]) == 0)
                return i;
    return -1;
}

enum companion companions_find(const struct stored_tensor *list, int64_t n, const char *name)
{
    int64_t ids = find(list, n, ids_names), mask = find(list, n, mask_names);
    return ids >= 0 && strcmp(list[ids].name, name) == 0     ? COMPANION_IDS
           : mask >= 0 && strcmp(list[mask].name, name) == 0 ? COMPANION_MASK
                                                             : COMPANION_NONE;
}

static int is_mask_type(enum dtype t)
{
    return t == DTYPE_BOOL || t == DTYPE_U8 || t == DTYPE_I8 || t == DTYPE_I32 || t == DTYPE_I64 ||
           dtype_is_compared(t) || t == DTYPE_F64;
}

static err_t check(const struct logits *l, const struct stored_tensor *t, int fits, const char *types,
                   struct err *e)
{
    const char *kind = logits_kind(l);
    if (!fits)
        return err_set(e, ERR_DATA, "%s: %s %s: dtype %s, expected %s", l->path, kind, t->name,
                       dtype_name(t->dtype), types);
    if (t->elements != l->tokens)
        return err_set(e, ERR_DATA, "%s: %s %s has %lld elements, expected one for each of the %lld tokens",
                       l->path, kind, t->name, (long long)t->elements, (long long)l->tokens);
    return ERR_OK;
}

err_t companions_take(struct logits *l, const struct stored_tensor *list, int64_t n, struct arena *a,
                      struct err *e)
{
    int64_t ids = find(list, n, ids_names), mask = find(list, n, mask_names);
    l->has_ids = ids >= 0;
    l->has_mask = mask >= 0;
    if (l->has_ids) {
        l->ids = list[ids];
        TRY(check(l, &l->ids, l->ids.dtype == DTYPE_I64 || l->ids.dtype == DTYPE_I32, "I64 or I32", e));
    }
    if (l->has_mask) {
        l->mask = list[mask];
        TRY(check(l, &l->mask, is_mask_type(l->mask.dtype),
                  "BOOL, U8, I8, I32, I64 or floating point of 16, 32 or 64 bits", e));
    }
    TRY(arena_array(a, "logits.unused", n, &l->unused, e));
    for (int64_t i = 0; i < n; i++)
        if (i != ids && i != mask && list[i].elements == l->tokens &&
            strcmp(list[i].name, l->values.name) != 0)
            l->unused[l->nunused++] = list[i].name;
    return ERR_OK;
}

/* ---- their elements ---- */

/* Element i of what was read of t; *fits: it is one (of floating point 0 and 1 alone). */
static int64_t element(const void *raw, enum dtype t, int64_t i, int *fits)
{
    double x;
    switch (t) {
    case DTYPE_I8:
        return ((const int8_t *)raw)[i];
    case DTYPE_I32:
        return ((const int32_t *)raw)[i];
    case DTYPE_I64:
        return ((const int64_t *)raw)[i];
    case DTYPE_F16:
        x = f16_to_float(((const uint16_t *)raw)[i]);
        break;
    case DTYPE_BF16:
        x = bf16_to_float(((const uint16_t *)raw)[i]);
        break;
    case DTYPE_F32:
        x = ((const float *)raw)[i];
        break;
    case DTYPE_F64:
        x = ((const double *)raw)[i];
        break;
    default:
        return ((const uint8_t *)raw)[i];
    }
    *fits = x == 0 || x == 1;
    return x == 1;
}

err_t companions_read(struct logits *l, const struct stored_tensor *t, struct h5_source *d, int64_t first,
                      int64_t n, int64_t *out, struct err *e)
{
    char where[64];
    int fits = 1;
    TRY(d ? h5_source_read(d, first, n, l->raw, e) : checkpoint_read(&l->checkpoint, t, first, n, l->raw, e));
    for (int64_t i = 0; i < n; i++) {
        out[i] = element(l->raw, t->dtype, i, &fits);
        if (!fits)
            return err_set(e, ERR_DATA, "%s: %s: %s is neither 0 nor 1", l->path,
                           logits_position(l, first + i, where, sizeof where), t->name);
    }
    return ERR_OK;
}

err_t companions_block(struct logits *l, int64_t first, int64_t n, int64_t *mask, int64_t *ids,
                       int64_t *counted, struct err *e)
{
    *counted = n;
    if (l->has_mask) {
        TRY(logits_read_mask(l, first, n, mask, e));
        *counted = 0;
        for (int64_t i = 0; i < n; i++)
            *counted += mask[i];
    }
    return l->has_ids ? logits_read_ids(l, first, n, ids, e) : ERR_OK;
}

err_t companions_check_id(const struct logits *l, int64_t token, int64_t id, int64_t nids, struct err *e)
{
    char where[64];
    if (id >= 0 && id < nids)
        return ERR_OK;
    return err_set(e, ERR_DATA, "%s: %s: token id %lld, expected 0 to %lld", l->path,
                   logits_position(l, token, where, sizeof where), (long long)id, (long long)nids - 1);
}

err_t companions_largest_id(struct logits *l, int64_t first, int64_t n, int64_t *mask, int64_t *ids,
                            int64_t nids, int64_t *largest, struct err *e)
{
    int64_t counted;
    TRY(companions_block(l, first, n, mask, ids, &counted, e));
    for (int64_t i = 0; i < n; i++) {
        if (l->has_mask && mask[i] == 0)
            continue;
        TRY(companions_check_id(l, first + i, ids[i], nids, e));
        *largest = ids[i] > *largest ? ids[i] : *largest;
    }
    return ERR_OK;
}

const char *companions_why_unused(const struct logits *l, const char *policy, struct arena *a, struct err *e)
{
    return arena_printf(a, e, "in the logits of the %s policy, one value for each token, not used%s%s",
                        policy, l->has_mask ? ": the mask is " : ", and there is no mask",
                        l->has_mask ? l->mask.name : "");
}
