#include "compare/maskfile.h"

const struct dataset maskfile_datasets[] = {
    {.name = "/mask",
     .type = H5_BITS64,
     .description = "one bit per compared element, 1 where updated; least significant bit first, row major; "
                    "each tensor of table compared begins at a word"},
    {0}};

struct maskfile {
    struct h5 *file;
    struct h5_bulk *words;
    const char *path;
    const struct layout *layout; /* borrowed */
    struct arena *arena;
};

/* ---- writing ---- */

err_t maskfile_create(struct artifact *out, const struct layout *l, struct h5_bulk **words, struct err *e)
{
    struct h5 *f;
    TRY(artifact_bulk(out, &f, e));
    return h5_dataset(f, maskfile_datasets, l->nwords, 0, words, e);
}

err_t maskfile_describe(struct h5 *f, const struct layout *l, const struct maskfile_kind *k,
                        const struct table *bins, struct arena *a, struct err *e)
{
    TRY(h5_set_text(f, "/", "criterion", k->criterion, e));
    TRY(h5_set_real(f, "/", "tolerance", k->tolerance, e));
    TRY(h5_set_text(f, "/", "arithmetic", k->arithmetic, e));
    TRY(layout_write(l, f, a, e));
    return h5_table_write(f, "bins", bins, e);
}

/* ---- reading ---- */

err_t maskfile_read(const char *path, struct layout *l, struct maskfile_kind *k, struct arena *a,
                    struct err *e)
{
    struct h5 *f = NULL;
    char *criterion = NULL, *arithmetic = NULL;
    err_t code;
    TRY(h5_open_sealed(path, a, &f, e));
    TRY_OUT(code, layout_read(l, f, a, e));
    TRY_OUT(code, h5_get_text(f, "/", "criterion", &criterion, e));
    TRY_OUT(code, h5_get_text(f, "/", "arithmetic", &arithmetic, e));
    TRY_OUT(code, h5_get_real(f, "/", "tolerance", &k->tolerance, e));
    k->criterion = criterion;
    k->arithmetic = arithmetic;
out:
    h5_close(f, e);
    return code;
}

static err_t open_words(struct maskfile *m, struct err *e)
{
    int64_t n = 0;
    TRY(h5_open_sealed(m->path, m->arena, &m->file, e));
    TRY(h5_find(m->file, maskfile_datasets->name, maskfile_datasets->type, &m->words, &n, e));
    if (n == m->layout->nwords)
        return ERR_OK;
    return err_set(e, ERR_DATA, "%s: the mask has %lld words, its tensors take %lld", m->path, (long long)n,
                   (long long)m->layout->nwords);
}

err_t maskfile_open(const char *path, const struct layout *l, struct arena *a, struct maskfile **out,
                    struct err *e)
{
    struct maskfile *m = NULL;
    *out = NULL;
    TRY(arena_array(a, "maskfile", 1, &m, e));
    *m = (struct maskfile){.layout = l, .arena = a, .path = arena_strdup(a, path, e)};
    if (!m->path || open_words(m, e) != ERR_OK) {
        maskfile_close(m);
        return e->code;
    }
    *out = m;
    return ERR_OK;
}

void maskfile_close(struct maskfile *m)
{
    struct err ignored; /* read-only: nothing can be lost */
    err_clear(&ignored);
    if (m)
        h5_close(m->file, &ignored);
}

err_t maskfile_words(const struct maskfile *m, int64_t at, int64_t n, uint64_t *words, struct err *e)
{
    return h5_get(m->words, at, n, words, e);
}

err_t maskfile_bins(const struct maskfile *m, int64_t at, int64_t n, struct table *bins, int64_t *total,
                    struct arena *a, struct err *e)
{
    table_start(bins, &schema_bins, a);
    return h5_table_read(m->file, "bins", bins, at, n, total, e);
}

err_t maskfile_updated(const struct maskfile *m, int64_t *updated, struct err *e)
{
    struct table t;
    table_start(&t, &schema_sparsity, m->arena);
    TRY(h5_table_read(m->file, "sparsity", &t, 0, -1, NULL, e));
    if (t.nrows != 1 || table_int(&t, 0, "parameters") != m->layout->elements)
        return err_set(e, ERR_DATA, "%s: table sparsity does not fit the mask's tensors", m->path);
    *updated = table_int(&t, 0, "updated");
    return ERR_OK;
}

/* ---- reading several ---- */

enum { OPEN_FILES = 256 }; /* more masks than this are opened anew for each reading */

struct maskset {
    const char *const *path;
    int n;
    const struct layout *layout;
    struct maskfile **open; /* n, or all NULL */
    struct arena scratch;   /* of the one that is opened for a reading */
};

err_t maskset_open(const char *const *path, int n, const struct layout *l, struct arena *a,
                   struct maskset **out, struct err *e)
{
    struct maskset *s = NULL;
    *out = NULL;
    TRY(arena_array(a, "maskset", 1, &s, e));
    *s = (struct maskset){.path = path, .n = n, .layout = l};
    TRY(arena_array(a, "maskset.open", n, &s->open, e));
    arena_init(&s->scratch, a->mem);
    for (int i = 0; n <= OPEN_FILES && i < n; i++)
        if (maskfile_open(path[i], l, a, &s->open[i], e) != ERR_OK) {
            maskset_close(s);
            return e->code;
        }
    *out = s;
    return ERR_OK;
}

void maskset_close(struct maskset *s)
{
    for (int i = 0; s && i < s->n; i++)
        maskfile_close(s->open[i]);
    if (s)
        arena_release(&s->scratch);
}

/* A mask as it is open, or opened for this once. */
static err_t borrow(struct maskset *s, int i, struct maskfile **m, struct err *e)
{
    *m = s->open[i];
    return *m ? ERR_OK : maskfile_open(s->path[i], s->layout, &s->scratch, m, e);
}

static err_t give_back(struct maskset *s, int i, struct maskfile *m, const struct err *e)
{
    if (m != s->open[i]) {
        maskfile_close(m);
        arena_reset(&s->scratch);
    }
    return e->code;
}

err_t maskset_words(struct maskset *s, int i, int64_t at, int64_t n, uint64_t *words, struct err *e)
{
    struct maskfile *m;
    TRY(borrow(s, i, &m, e));
    maskfile_words(m, at, n, words, e);
    return give_back(s, i, m, e);
}

err_t maskset_bins(struct maskset *s, int i, int64_t at, int64_t n, struct table *bins, int64_t *total,
                   struct arena *a, struct err *e)
{
    struct maskfile *m;
    TRY(borrow(s, i, &m, e));
    maskfile_bins(m, at, n, bins, total, a, e);
    return give_back(s, i, m, e);
}
