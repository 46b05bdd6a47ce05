#include "formats/decoders/packed.h"

#include "formats/decoders/scaled.h"
#include "formats/decoders/turned.h"

#include "base/text.h"

#include <string.h>

/* ---- finding ---- */

/* A packed weight that was found: the bytes, and what they are to be. */
struct packed {
    const struct stored_tensor *bytes; /* a copy that stays where it is */
    const char *name;                  /* the weight's */
    const char *scale, *global;        /* by name, since the list is sorted anew */
    enum scaled_global uses_global;
    int turned;
    int ndim;
    int64_t dims[TENSOR_MAX_NDIM];
};

struct finding {
    const struct stored_list *list;
    struct arena *arena;
    struct err *e;
};

static const struct stored_tensor *beside(const struct finding *f, const struct stored_tensor *t,
                                          const char *end, const char *by)
{
    return stored_find_named(f->list, t->name, end, by, f->arena, f->e);
}

static int is_power(enum dtype t)
{
    return t == DTYPE_U8 || t == DTYPE_F8_E8M0;
}

static int is_four_bit_scale(enum dtype t)
{
    return is_power(t) || t == DTYPE_F8_E4M3;
}

/* Has `scale` one number for so many bytes of each row of t, and t no axis besides? */
static int is_for_bytes(const struct stored_tensor *t, const struct stored_tensor *scale, int64_t bytes)
{
    if (t->ndim < 2 || scale->ndim != t->ndim ||
        memcmp(t->dims, scale->dims, (size_t)(t->ndim - 1) * sizeof *t->dims) != 0)
        return 0;
    return t->dims[t->ndim - 1] % bytes == 0 && scale->dims[t->ndim - 1] == t->dims[t->ndim - 1] / bytes;
}

static void use(struct packed *p, const struct stored_tensor *scale, const struct stored_tensor *global,
                enum scaled_global uses_global)
{
    p->scale = scale->name;
    p->global = global ? global->name : NULL;
    p->uses_global = global ? uses_global : SCALED_NO_GLOBAL;
}

/* Two values in each byte of the last axis. 0: too many. */
static int double_last(struct packed *p, const struct stored_tensor *t)
{
    p->ndim = t->ndim;
    memcpy(p->dims, t->dims, sizeof p->dims);
    return t->ndim >= 1 && !__builtin_mul_overflow(p->dims[t->ndim - 1], 2, &p->dims[t->ndim - 1]);
}

/* X.weight_packed. */
static int find_named_packed(const struct finding *f, const struct stored_tensor *t, struct packed *p)
{
    if (t->dtype != DTYPE_U8 || !text_ends_with(t->name, "weight_packed"))
        return 0;
    const struct stored_tensor *scale = beside(f, t, "_packed", "_scale");
    if (!scale || !is_four_bit_scale(scale->dtype) || !double_last(p, t))
        return 0;
    use(p, scale, beside(f, t, "_packed", "_global_scale"), SCALED_DIVIDES);
    p->name = arena_strndup(f->arena, t->name, strlen(t->name) - strlen("_packed"), f->e);
    return 1;
}

/* X_blocks beside X_scales, sixteen bytes for each scale on an axis of their own: [E, out, G, 16]. As
 * transformers has them they are for a tensor [E, 32 G, out], as openai's own file X.blocks for [E, out, 32
 * G]. */
static int find_blocks(const struct finding *f, const struct stored_tensor *t, struct packed *p)
{
    enum { BYTES = 16 };
    if (t->dtype != DTYPE_U8 || t->ndim < 3 || t->dims[t->ndim - 1] != BYTES)
        return 0;
    int is_turned = text_ends_with(t->name, "_blocks") && t->ndim == 4;
    const struct stored_tensor *scale =
        is_turned ? beside(f, t, "_blocks", "_scales") : beside(f, t, ".blocks", ".scales");
    const int last = t->ndim - 1;
    if (!scale || !is_power(scale->dtype) || scale->ndim != last ||
        memcmp(scale->dims, t->dims, (size_t)last * sizeof *t->dims) != 0)
        return 0;
    p->ndim = last;
    memcpy(p->dims, t->dims, sizeof p->dims);
    if (__builtin_mul_overflow(p->dims[last - 1], 2 * BYTES, &p->dims[last - 1]))
        return 0;
    if (is_turned) {
        int64_t out = p->dims[1];
        p->dims[1] = p->dims[2];
        p->dims[2] = out;
    }
    p->turned = is_turned;
    use(p, scale, NULL, SCALED_NO_GLOBAL);
    p->name = arena_strndup(f->arena, t->name, strlen(t->name) - strlen("_blocks"), f->e);
    return 1;
}

/* X.weight of bytes: with a second scale as ModelOpt writes it, or with powers of two for sixteen bytes each.
 */
static int find_own(const struct finding *f, const struct stored_tensor *t, struct packed *p)
{
    if (t->dtype != DTYPE_U8 && t->dtype != DTYPE_I8)
        return 0;
    const struct stored_tensor *scale = scaled_find_scale(f->list, t->name, f->arena, f->e);
    if (!scale || !double_last(p, t))
        return 0;
    const struct stored_tensor *second = beside(f, t, "", "_scale_2");
    if (!(second && scale->dtype == DTYPE_F8_E4M3 && is_for_bytes(t, scale, 8)) &&
        !(is_power(scale->dtype) && is_for_bytes(t, scale, 16)))
        return 0;
    use(p, scale, second, SCALED_MULTIPLIES);
    p->name = t->name;
    return 1;
}

/* X.weight of type F4, whose shape counts elements. */
static int find_typed(const struct finding *f, const struct stored_tensor *t, struct packed *p)
{
    if (t->dtype != DTYPE_F4 || t->ndim < 1 || t->dims[t->ndim - 1] % 2 != 0 || t->strides || t->cut)
        return 0;
    const struct stored_tensor *scale = scaled_find_scale(f->list, t->name, f->arena, f->e);
    if (!scale)
        return 0;
    const struct stored_tensor *over = beside(f, t, "", "_global_scale"),
                               *second = beside(f, t, "", "_scale_2");
    use(p, scale, over ? over : second, over ? SCALED_DIVIDES : SCALED_MULTIPLIES);
    p->name = t->name;
    p->ndim = t->ndim;
    memcpy(p->dims, t->dims, sizeof p->dims);
    return 1;
}

static int find(const struct finding *f, const struct stored_tensor *t, struct packed *p)
{
    *p = (struct packed){.name = NULL};
    return t->file >= 0 && !t->decoding && !t->serves &&
           (find_named_packed(f, t, p) || find_blocks(f, t, p) || find_own(f, t, p) || find_typed(f, t, p));
}

/* ---- deriving ---- */

/* The weight takes the place of its bytes in the list. */
static err_t replace(struct stored_tensor *t, struct packed *p, struct arena *a, struct err *e)
{
    struct stored_tensor *bytes;
    char module[4200];
    TRY(arena_array(a, "checkpoint.packed", 1, &bytes, e));
    *bytes = *t;
    if (t->dtype == DTYPE_F4) { /* read by the byte */
        bytes->dims[t->ndim - 1] /= 2;
        bytes->elements /= 2;
    }
    bytes->dtype = DTYPE_U8;
    p->bytes = bytes;
    tensor_module(p->name, module, sizeof module);
    *t = (struct stored_tensor){.name = p->name, .ndim = p->ndim, .elements = 1, .file = STORED_NOWHERE};
    memcpy(t->dims, p->dims, sizeof t->dims);
    for (int i = 0; i < t->ndim; i++)
        if (__builtin_mul_overflow(t->elements, t->dims[i], &t->elements) || t->elements > INT64_MAX / 8)
            return err_set(e, ERR_DATA, "tensor %s has more elements than can be counted", p->name);
    t->layer = tensor_layer(p->name);
    t->module = arena_strdup(a, module, e);
    struct decoding *d;
    return t->module ? decoder_derive(t, &decoder_scaled, DTYPE_BF16, a, &d, e) : e->code;
}

/* The decoding of a weight, now that the list is in order and its scales are where they stay. */
static err_t complete(const struct packed *p, const struct stored_list *list, const struct quant_config *q,
                      struct arena *a, struct err *e)
{
    struct decoding *d = stored_find(list->tensors, list->ntensors, p->name)->decoding;
    const struct stored_tensor *scale = stored_find(list->tensors, list->ntensors, p->scale);
    const struct stored_tensor *global =
        p->global ? stored_find(list->tensors, list->ntensors, p->global) : NULL;
    d->of = stored_find(list->tensors, list->ntensors, p->name);
    if (p->turned)
        TRY(turned_fill(d, p->bytes, scale, a, e));
    else
        TRY(scaled_fill(d,
                        &(struct scaled){.kind = CODES_E2M1,
                                         .uses_global = p->uses_global,
                                         .codes = p->bytes,
                                         .scale = scale,
                                         .global = global},
                        q, a, e));
    /* NVFP4's own scales are in units of a second one, for the whole tensor */
    if (!d->problem && scale->dtype == DTYPE_F8_E4M3 && !p->global)
        d->problem =
            ", but the scale of the whole tensor (global_scale) is not there; NVFP4 codes mean nothing "
            "without it";
    if (d->problem) {
        char shape[200];
        const struct stored_tensor *b = p->bytes;
        d->problem = arena_printf(a, e, " out of %s, %s %s%s", b->name, dtype_name(b->dtype),
                                  shape_text(b->ndim, b->dims, shape, sizeof shape), d->problem);
    }
    for (int64_t k = 0; k < d->nhelpers; k++)
        if (d->helpers[k] >= list->tensors && d->helpers[k] < list->tensors + list->ntensors)
            list->tensors[d->helpers[k] - list->tensors].serves = d;
    return e->code;
}

err_t packed_derive(struct stored_list *list, const struct model_config *config, struct arena *a,
                    struct err *e)
{
    const struct finding f = {list, a, e};
    struct packed *v = NULL, p;
    int64_t n = 0, cap = 0;
    for (int64_t i = 0; i < list->ntensors; i++) {
        struct stored_tensor *t = &list->tensors[i];
        int found = find(&f, t, &p);
        if (e->code != ERR_OK)
            return e->code;
        if (!found)
            continue;
        if (p.name != t->name && stored_find(list->tensors, list->ntensors, p.name))
            return err_set(e, ERR_DATA, "tensor %s is there, and %s too, which stands for it", p.name,
                           t->name);
        TRY(arena_grow(a, "checkpoint.packed", n + 1, &cap, &v, e));
        p.bytes = t;
        v[n++] = p;
    }
    /* names are looked up while the list is as it was; only then it changes */
    for (int64_t i = 0; i < n; i++)
        TRY(replace(&list->tensors[v[i].bytes - list->tensors], &v[i], a, e));
    if (n > 0)
        stored_sort(list);
    for (int64_t i = 0; i + 1 < list->ntensors && n > 0; i++)
        if (strcmp(list->tensors[i].name, list->tensors[i + 1].name) == 0)
            return err_set(e, ERR_DATA, "tensor %s is there twice, packed in two ways",
                           list->tensors[i].name);
    for (int64_t i = 0; i < n; i++)
        TRY(complete(&v[i], list, config ? &config->quant : NULL, a, e));
    return ERR_OK;
}

/* ---- what stands beside ---- */

static int is_beside(const char *name)
{
    static const char *const words[] = {
        "input_scale",       "input_scale_inv", "input_global_scale", "input_zero_point",
        "input_scale_ub",    "output_scale",    "output_zero_point",  "activation_scale",
        "weight_zero_point", "weight_shape",    "weight_g_idx",       "q_scale",
        "k_scale",           "v_scale",         "kv_scale",           "k_zero_point",
        "v_zero_point",      "q_zero_point",    "k_global_scale",     "v_global_scale",
        "q_global_scale",    "prob_scale",      "prob_output_scale",  "act_scale"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof words / sizeof *words; i++)
        if (strcmp(dot + 1, words[i]) == 0)
            return 1;
    return 0;
}

/* The first tensor of the list whose name is not below the n bytes of `name`. */
static int64_t lower_bound(const struct stored_list *list, const char *name, size_t n)
{
    int64_t low = 0, high = list->ntensors;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strncmp(list->tensors[middle].name, name, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A decoded weight of the module that the name is of, or of a part of it. */
static struct decoding *decoded_near(const struct stored_list *list, const char *name)
{
    enum { MOST = 100 };
    size_t n = (size_t)(strrchr(name, '.') + 1 - name);
    int64_t from = lower_bound(list, name, n);
    for (int64_t i = from; i < list->ntensors && i < from + MOST; i++) {
        const struct stored_tensor *t = &list->tensors[i];
        if (strncmp(t->name, name, n) != 0)
            return NULL;
        if (t->decoding && t->decoding->by == &decoder_scaled)
            return t->decoding;
    }
    return NULL;
}

err_t packed_complete(struct stored_list *list, struct arena *a, struct err *e)
{
    for (int64_t i = 0; i < list->ntensors; i++) {
        struct stored_tensor *t = &list->tensors[i];
        if (t->decoding || t->serves || !is_beside(t->name))
            continue;
        struct decoding *d = decoded_near(list, t->name);
        if (d)
            TRY(decoding_add_helper(d, t, a, e));
    }
    return ERR_OK;
}
