#include "formats/logits/fit.h"

#include "base/text.h"
#include "formats/catalogue.h"
#include "formats/logits/logits.h"

#include <string.h>

static const char REMEDY[] =
    "the largest k logits of each token are no distribution: write all of them; entropies are one dimension "
    "in .npy, or tensor entropies, tokens or batch x tokens, in safetensors or HDF5";

/* Is it the tensor of this name, or that of a part of the model (model.NAME, language_model.model.NAME)? */
static int is_named(const char *name, const char *wanted)
{
    size_t n = strlen(name), m = strlen(wanted);
    return text_ends_with(name, wanted) && (n == m || name[n - m - 1] == '.');
}

int64_t fit_rows(const struct checkpoint *model, const char **name)
{
    static const char *const known[] = {
        "lm_head.weight",         "embed_out.weight",      "output_layer.weight",
        "output.weight",          "embed_tokens.weight",   "wte.weight",
        "word_embeddings.weight", "tok_embeddings.weight", "embed_in.weight"};
    int64_t most = 0;
    for (size_t k = 0; model && k < sizeof known / sizeof *known; k++)
        for (int64_t i = 0; i < model->ntensors; i++) {
            const struct stored_tensor *t = &model->tensors[i];
            if (t->ndim == 2 && t->layer < 0 && t->dims[0] > most && is_named(t->name, known[k])) {
                *name = t->name;
                most = t->dims[0];
            }
        }
    return most;
}

static int far_apart(int64_t a, int64_t b)
{
    return a / 2 > b || b / 2 > a;
}

/* What fit_check finds of a side besides. */
struct found {
    int sure; /* these are logits: by their name, their format, or their model's rows */
    char shape[160];
};

static err_t look_at(const struct logits *l, struct fit_side *s, struct found *f, struct arena *a,
                     struct err *e)
{
    struct checkpoint own;
    const struct checkpoint *model = s->model;
    const char *tensor = "";
    shape_text(l->values.ndim, l->values.dims, f->shape, sizeof f->shape);
    s->vocabulary = l->vocabulary;
    if (!model && s->catalogue) {
        TRY(catalogue_read(&own, s->catalogue, a, e));
        model = &own;
    }
    s->rows = fit_rows(model, &tensor);
    f->sure = l->format[0] != '.' || s->rows > 0;
    s->strange = l->vocabulary > 0 && s->rows > 0 && far_apart(l->vocabulary, s->rows);
    if (!s->strange || l->format[0] != '.')
        return ERR_OK;
    return err_set(
        e, ERR_DATA,
        "%s: %s %s: shape %s, a vocabulary of %lld, expected that of %s, whose %s has %lld rows; %s", l->path,
        logits_kind(l), l->values.name, f->shape, (long long)l->vocabulary, model->path, tensor,
        (long long)s->rows, REMEDY);
}

static err_t look(struct fit_side *s, struct found *f, struct arena *a, struct err *e)
{
    struct logits l;
    s->vocabulary = s->rows = s->strange = 0;
    if (!s->path)
        return ERR_OK;
    err_t code = logits_open(&l, s->path, a, e);
    if (code == ERR_OK)
        code = look_at(&l, s, f, a, e);
    logits_close(&l);
    return code;
}

err_t fit_check(struct fit_side side[2], struct arena *a, struct err *e)
{
    struct found found[2] = {{0}};
    for (int k = 0; k < 2; k++)
        TRY(look(&side[k], &found[k], a, e));
    int64_t base = side[0].vocabulary, tuned = side[1].vocabulary;
    int sure = found[0].sure && found[1].sure;
    if (base > 0 && tuned > 0 && (far_apart(base, tuned) || (base != tuned && !sure)))
        return err_set(e, ERR_DATA,
                       "%s: shape %s, a vocabulary of %lld, expected that of the base's logits %s, shape %s: "
                       "%lld; %s",
                       side[1].path, found[1].shape, (long long)tuned, side[0].path, found[0].shape,
                       (long long)base, REMEDY);
    return ERR_OK;
}
