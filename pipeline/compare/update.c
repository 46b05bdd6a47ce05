#include "compare/update.h"

#include "elements/bits/bits.h"
#include "elements/magnitude/magnitude.h"
#include "base/path.h"

#include <string.h>

/* The datasets; those of values once for each compare type. */
enum { BITMAP, FIRST, NONFINITE, OLD, NEW = OLD + 2, NONFINITE_BITS = NEW + 2 };

/* clang-format off */
#define OF_EITHER_TYPE(dataset, holds) \
    {.name = dataset, .type = H5_BITS16, .units = "bfloat16 bit pattern", .description = holds}, \
    {.name = dataset, .type = H5_BITS32, .units = "float32 bit pattern", .description = holds}

const struct dataset update_datasets[] = {
    {.name = "/update/bitmap",
     .type = H5_BITS64,
     .description = "one bit per compared element, 1 where the bits differ; least significant bit first, row "
                    "major; each tensor of table compared begins at a word"},
    {.name = "/update/first_value",
     .type = H5_INT64,
     .description =
         "index of the first value of each block of 262144 elements (blocks begin anew at each tensor)"},
    {.name = "/update/nonfinite",
     .type = H5_INT64,
     .description = "bitmap positions of elements that are the same NaN or Inf on both sides"},
    OF_EITHER_TYPE("/update/old", "bits in the base of the elements that differ, in bitmap order"),
    OF_EITHER_TYPE("/update/new", "bits in the tuned checkpoint of the elements that differ, in bitmap order"),
    OF_EITHER_TYPE("/update/nonfinite_bits", "bits of the elements that nonfinite lists"),
    {0}};
/* clang-format on */

/* One of OLD, NEW, NONFINITE_BITS in the compare type. */
static const struct dataset *values_dataset(int which, enum arithmetic arithmetic)
{
    return &update_datasets[which + (arithmetic != ARITHMETIC_BF16)];
}

struct update {
    struct arena *arena;
    struct layout layout;
    enum arithmetic arithmetic;
    struct h5 *file; /* stored update, or NULL */
    struct h5_bulk *bitmap, *old_bits, *new_bits, *first_value, *nonfinite, *nonfinite_bits;
    int64_t *positions; /* of all unchanged non-finite elements */
    int64_t npositions;
    struct pair pair; /* store: none */
    void *w0, *w1;
    struct update_part part; /* handed out last */
};

/* ---- parts ---- */

int64_t update_window_blocks(enum arithmetic arithmetic, int64_t memory_bytes)
{
    enum {
        MOST = 16,
        LEAST = 1,
        SHARE = 4 * (UPDATE_WAITING + 1)
    }; /* a part for each window that waits and one more, in buffers that double as they grow: half of it */
    int64_t block_bytes = 2 * (int64_t)arithmetic_bytes(arithmetic) * LAYOUT_BLOCK;
    int64_t blocks = memory_bytes > 0 ? memory_bytes / SHARE / block_bytes : MOST;
    return blocks > MOST ? MOST : blocks < LEAST ? LEAST : blocks;
}

void update_part_init(struct update_part *p, enum arithmetic arithmetic, struct arena *a)
{
    *p = (struct update_part){.arithmetic = arithmetic, .isa = isa_usable(), .arena = a};
}

/* Room for so many of each; what is there stays. */
static err_t reserve(struct update_part *p, int64_t nblocks, int64_t nwords, int64_t nvalues,
                     int64_t nnonfinite, struct err *e)
{
    size_t bytes = (size_t)arithmetic_bytes(p->arithmetic);
    TRY(arena_grow(p->arena, "update.first", nblocks + 1, &p->cap_blocks, &p->first_value, e));
    TRY(arena_grow(p->arena, "update.bitmap", nwords, &p->cap_words, &p->words, e));
    TRY(arena_grow_at(p->arena, "update.old", nvalues + BITS_SLACK, &p->cap_old, bytes, &p->old_bits, e));
    TRY(arena_grow_at(p->arena, "update.new", nvalues + BITS_SLACK, &p->cap_values, bytes, &p->new_bits, e));
    TRY(arena_grow(p->arena, "update.nonfinite", nnonfinite, &p->cap_nonfinite, &p->nonfinite, e));
    return arena_grow_at(p->arena, "update.nonfinite", nnonfinite, &p->cap_nonfinite_bits, bytes,
                         &p->nonfinite_bits, e);
}

err_t update_part_start(struct update_part *p, int64_t from, int64_t to, struct err *e)
{
    p->from = from;
    p->to = to;
    p->nwords = p->nvalues = p->nnonfinite = 0;
    return reserve(p, to - from, 0, 0, 0, e);
}

err_t update_part_room(struct update_part *p, int64_t nwords, int64_t nvalues, int64_t nnonfinite,
                       struct err *e)
{
    return reserve(p, p->to - p->from, p->nwords + nwords, p->nvalues + nvalues, p->nnonfinite + nnonfinite,
                   e);
}

void update_part_block(struct update_part *p, int64_t b)
{
    p->first_value[b - p->from] = p->nvalues;
}

/* Is element i unchanged, and NaN or Inf? */
static int is_odd(const struct update_part *p, const uint64_t *words, const void *w, int64_t i)
{
    int nonfinite = magnitude_bin(p->arithmetic, w, i) >= MAGNITUDE_INFINITE;
    return nonfinite && !(words[i / 64] >> (i % 64) & 1);
}

err_t update_part_add(struct update_part *p, const void *w0, const void *w1, int64_t n, int64_t *bins,
                      struct err *e)
{
    int bytes = arithmetic_bytes(p->arithmetic);
    TRY(update_part_room(p, bits_words(n), n, 0, e));
    uint64_t *words = p->words + p->nwords;
    struct bits_found found =
        bits_compare(p->isa, bytes, w0, w1, n, words, (char *)p->old_bits + p->nvalues * bytes,
                     (char *)p->new_bits + p->nvalues * bytes, bins);
    int64_t odd = 0, bit0 = 64 * p->nwords;
    p->nvalues += found.differ;
    p->nwords += bits_words(n);
    if (!found.nonfinite)
        return ERR_OK;
    for (int64_t i = 0; i < n; i++)
        odd += is_odd(p, words, w0, i);
    TRY(reserve(p, p->to - p->from, p->nwords, p->nvalues, p->nnonfinite + odd, e));
    for (int64_t i = 0; i < n; i++)
        if (is_odd(p, p->words + bit0 / 64, w0, i)) {
            memcpy((char *)p->nonfinite_bits + p->nnonfinite * bytes, (const char *)w0 + i * bytes,
                   (size_t)bytes);
            p->nonfinite[p->nnonfinite++] = bit0 + i;
        }
    return ERR_OK;
}

/* ---- reading ---- */

/* Opens one dataset as it is declared; *n, if not NULL, receives its elements. */
static err_t find(struct update *u, const struct dataset *what, struct h5_bulk **d, int64_t *n, struct err *e)
{
    return h5_find(u->file, what->name, what->type, d, n, e);
}

static err_t open_stored(struct update *u, struct err *e)
{
    int64_t nwords, nblocks, nold, nnew;
    TRY(find(u, &update_datasets[BITMAP], &u->bitmap, &nwords, e));
    TRY(find(u, values_dataset(OLD, u->arithmetic), &u->old_bits, &nold, e));
    TRY(find(u, values_dataset(NEW, u->arithmetic), &u->new_bits, &nnew, e));
    TRY(find(u, &update_datasets[FIRST], &u->first_value, &nblocks, e));
    TRY(find(u, &update_datasets[NONFINITE], &u->nonfinite, &u->npositions, e));
    TRY(find(u, values_dataset(NONFINITE_BITS, u->arithmetic), &u->nonfinite_bits, NULL, e));
    if (nwords != u->layout.nwords || nblocks != u->layout.nblocks + 1 || nold != nnew)
        return err_set(e, ERR_DATA,
                       "the stored update does not fit its tensors: %lld bitmap words and %lld blocks, "
                       "expected %lld and "
                       "%lld; delete the delta artifact and run it again",
                       (long long)nwords, (long long)nblocks - 1, (long long)u->layout.nwords,
                       (long long)u->layout.nblocks);
    TRY(arena_array(u->arena, "update.nonfinite", u->npositions, &u->positions, e));
    return h5_get(u->nonfinite, 0, u->npositions, u->positions, e);
}

/* Layout and compare type, and whether the bits are stored. */
static err_t read_head(struct h5 *f, struct update_head *head, struct arena *a, struct err *e)
{
    char *arithmetic = NULL;
    TRY(layout_read(&head->layout, f, a, e));
    TRY(h5_get_text(f, "/", "arithmetic", &arithmetic, e));
    head->arithmetic =
        strcmp(arithmetic, arithmetic_name(ARITHMETIC_BF16)) == 0 ? ARITHMETIC_BF16 : ARITHMETIC_F32;
    head->stored = h5_has(f, update_datasets[BITMAP].name);
    return h5_sound(f, e); /* it may be there and damaged */
}

/* The path of a catalogue that the artifact names relative to itself; NULL with e set. */
static char *catalogue_path(struct update *u, const char *artifact, const char *attribute, struct err *e)
{
    char *relative = NULL;
    const char *here = path_dir(u->arena, artifact, e);
    if (!here || h5_get_text(u->file, "/", attribute, &relative, e) != ERR_OK)
        return NULL;
    return path_join(u->arena, here, relative, e);
}

/* The checkpoints, where the bits are not stored. */
static err_t open_pair(struct update *u, const char *artifact, const struct readahead_setting *how,
                       struct err *e)
{
    static const struct readahead_setting plain = {.mode = READ_PREAD};
    struct arena *a = u->arena;
    struct match_policy policy;
    const size_t bytes = (size_t)arithmetic_bytes(u->arithmetic);
    const char *base = catalogue_path(u, artifact, "base_catalogue", e);
    const char *tuned = base ? catalogue_path(u, artifact, "tuned_catalogue", e) : NULL;
    if (!tuned)
        return e->code;
    TRY(match_policy_read(&policy, u->file, a, e));
    TRY(pair_open(&u->pair, base, tuned, u->arithmetic, &policy, "", "", NULL, a, e));
    TRY(pair_read_by(&u->pair, how ? how : &plain, e));
    const struct layout *l = &u->pair.match.main.layout;
    if (l->ntensors != u->layout.ntensors || l->nblocks != u->layout.nblocks)
        return err_set(
            e, ERR_DATA,
            "the checkpoints are matched otherwise than before: %lld tensors, expected %lld; delete "
            "the delta artifact and run it again",
            (long long)l->ntensors, (long long)u->layout.ntensors);
    TRY(arena_array_at(a, "update.block", LAYOUT_BLOCK, bytes, &u->w0, e));
    return arena_array_at(a, "update.block", LAYOUT_BLOCK, bytes, &u->w1, e);
}

static err_t open_update(struct update *u, const char *artifact, const struct readahead_setting *how,
                         int again, struct err *e)
{
    struct update_head head;
    TRY(h5_open_sealed(artifact, u->arena, &u->file, e));
    TRY(read_head(u->file, &head, u->arena, e));
    u->layout = head.layout;
    u->arithmetic = head.arithmetic;
    update_part_init(&u->part, u->arithmetic, u->arena);
    return head.stored && !again ? open_stored(u, e) : open_pair(u, artifact, how, e);
}

static err_t open_new(const char *delta_artifact, const struct readahead_setting *how, int again,
                      struct arena *a, struct update **out, struct err *e)
{
    *out = NULL;
    struct update *u;
    TRY(arena_array(a, "update", 1, &u, e));
    u->arena = a;
    if (open_update(u, delta_artifact, how, again, e) == ERR_OK) {
        *out = u;
        return ERR_OK;
    }
    if (u->file)
        err_item(e, "%s", delta_artifact);
    update_close(u);
    return e->code;
}

err_t update_open(const char *delta_artifact, const struct readahead_setting *how, struct arena *a,
                  struct update **out, struct err *e)
{
    return open_new(delta_artifact, how, 0, a, out, e);
}

err_t update_open_again(const char *delta_artifact, const struct readahead_setting *how, struct arena *a,
                        struct update **out, struct err *e)
{
    return open_new(delta_artifact, how, 1, a, out, e);
}

void update_close(struct update *u)
{
    if (!u)
        return;
    struct err ignored;
    err_clear(&ignored);
    h5_close(u->file, &ignored); /* read-only: nothing can be lost */
    u->file = NULL;
    pair_close(&u->pair);
}

const struct layout *update_layout(const struct update *u)
{
    return &u->layout;
}

enum arithmetic update_arithmetic(const struct update *u)
{
    return u->arithmetic;
}

err_t update_bins(struct update *u, struct table *bins, struct arena *a, struct err *e)
{
    table_start(bins, &schema_bins, a);
    return h5_table_read(u->file, "bins", bins, 0, -1, NULL, e);
}

/* Which tensors of the layout have an element whose bits differ. */
static err_t mark_changed(struct update *u, char *changed, struct arena *a, struct err *e)
{
    struct table bins;
    TRY(update_bins(u, &bins, a, e));
    for (int64_t i = 0; i < bins.nrows; i++) {
        int64_t t = table_int(&bins, i, "tensor_index");
        if (t < 0 || t >= u->layout.ntensors)
            return err_set(e, ERR_DATA, "table bins, row %lld: tensor %lld, expected 0 to %lld", (long long)i,
                           (long long)t, (long long)u->layout.ntensors - 1);
        changed[t] |= table_int(&bins, i, "updated") > 0;
    }
    return ERR_OK;
}

err_t update_draw(struct update *u, int64_t n, char *marked, struct layout_drawn *of, struct err *e)
{
    struct arena own; /* the table is large */
    char *changed;
    *of = (struct layout_drawn){.changed = 0};
    if (n == 0)
        return ERR_OK;
    arena_init(&own, u->arena->mem);
    if (arena_array(&own, "update.changed", u->layout.ntensors, &changed, e) == ERR_OK &&
        mark_changed(u, changed, &own, e) == ERR_OK)
        layout_draw(&u->layout, n, changed, marked, of, &own, e);
    arena_release(&own);
    return e->code;
}

err_t update_look(const char *delta_artifact, struct update_head *head, struct arena *a, struct err *e)
{
    struct h5 *f;
    TRY(h5_open_sealed(delta_artifact, a, &f, e));
    read_head(f, head, a, e);
    h5_close(f, e);
    return e->code;
}

err_t update_skipped(const char *delta_artifact, struct table *skipped, struct arena *a, struct err *e)
{
    struct h5 *f;
    table_start(skipped, &schema_skipped, a);
    TRY(h5_open_sealed(delta_artifact, a, &f, e));
    h5_table_read(f, "skipped", skipped, 0, -1, NULL, e);
    h5_close(f, e);
    return e->code;
}

static err_t read_stored(struct update *u, int64_t from, int64_t to, int64_t word0, int64_t nwords,
                         struct err *e)
{
    struct update_part *p = &u->part;
    TRY(reserve(p, to - from, nwords, 0, 0, e));
    TRY(h5_get(u->first_value, from, to - from + 1, p->first_value, e));
    int64_t first = p->first_value[0], n = p->first_value[to - from] - first;
    if (n < 0 || n > nwords * 64)
        return err_set(e, ERR_DATA, "the stored update's value index is damaged at block %lld",
                       (long long)from);
    TRY(reserve(p, to - from, nwords, n, 0, e));
    for (int64_t i = 0; i <= to - from; i++) {
        p->first_value[i] -= first;
        if (p->first_value[i] < 0 || p->first_value[i] > n ||
            (i > 0 && p->first_value[i] < p->first_value[i - 1]))
            return err_set(e, ERR_DATA, "the stored update's value index is damaged at block %lld",
                           (long long)(from + i));
    }
    TRY(h5_get(u->bitmap, word0, nwords, p->words, e));
    if (bits_count(p->words, nwords) != n)
        return err_set(e, ERR_DATA, "the stored update's bitmap and values disagree in blocks [%lld, %lld)",
                       (long long)from, (long long)to);
    TRY(h5_get(u->old_bits, first, n, p->old_bits, e));
    TRY(h5_get(u->new_bits, first, n, p->new_bits, e));
    p->nvalues = n;
    /* The part's share of the sorted positions. */
    int64_t low = 0, high = u->npositions;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (u->positions[mid] < 64 * word0)
            low = mid + 1;
        else
            high = mid;
    }
    p->nnonfinite = 0;
    while (low + p->nnonfinite < u->npositions && u->positions[low + p->nnonfinite] < 64 * (word0 + nwords))
        p->nnonfinite++;
    TRY(reserve(p, to - from, nwords, n, p->nnonfinite, e));
    for (int64_t i = 0; i < p->nnonfinite; i++)
        p->nonfinite[i] = u->positions[low + i] - 64 * word0;
    return h5_get(u->nonfinite_bits, low, p->nnonfinite, p->nonfinite_bits, e);
}

static err_t read_pair(struct update *u, int64_t from, int64_t to, struct err *e)
{
    pair_expect(&u->pair, &u->pair.match.main, from, to);
    for (int64_t b = from; b < to; b++) {
        struct block at = layout_block(&u->layout, b);
        TRY(pair_read(&u->pair, at.tensor, at.first, at.n, u->w0, u->w1, e));
        update_part_block(&u->part, b);
        TRY(update_part_add(&u->part, u->w0, u->w1, at.n, NULL, e));
    }
    update_part_block(&u->part, to);
    return ERR_OK;
}

err_t update_read(struct update *u, int64_t from, int64_t to, struct update_part *part, struct err *e)
{
    struct update_part *p = &u->part;
    TRY(update_part_start(p, from, to, e));
    if (from < to) {
        struct block first = layout_block(&u->layout, from), last = layout_block(&u->layout, to - 1);
        if (u->bitmap) {
            p->nwords = last.word + last.nwords - first.word;
            TRY(read_stored(u, from, to, first.word, p->nwords, e));
        } else {
            TRY(read_pair(u, from, to, e));
        }
    }
    *part = *p;
    return ERR_OK;
}

/* ---- writing ---- */

err_t update_describe(struct h5 *f, const char *delta_artifact, const struct update_source *s,
                      struct arena *a, struct err *e)
{
    char *here = path_dir(a, delta_artifact, e); /* relative, so that the output folder can be moved */
    char *base = here ? path_relative(a, here, s->base, e) : NULL;
    char *tuned = here ? path_relative(a, here, s->tuned, e) : NULL;
    if (!base || !tuned)
        return e->code;
    TRY(h5_set_text(f, "/", "arithmetic", arithmetic_name(s->arithmetic), e));
    TRY(h5_set_text(f, "/", "base_catalogue", base, e));
    TRY(h5_set_text(f, "/", "tuned_catalogue", tuned, e));
    TRY(match_policy_write(s->policy, f, e));
    if (s->simulated)
        TRY(h5_set_text(f, "/", "simulated", s->simulated, e));
    return layout_write(s->layout, f, a, e);
}

/* What every process says of its part. */
enum { VALUES, ODD, FAILED };

struct update_writer {
    const struct comm *comm;
    const struct layout *layout;
    struct h5_bulk *bitmap, *old_bits, *new_bits, *first_value, *nonfinite, *nonfinite_bits;
    int64_t nvalues, nnonfinite; /* written so far, by all */
    struct waiting {
        const struct update_part *part;
        struct comm_gather told;
    } queue[UPDATE_WAITING];
    int64_t put, written; /* windows [written, put) wait, each at its number modulo UPDATE_WAITING */
    int64_t *scratch;     /* for what must be shifted before it is written */
    int64_t cap;
    struct arena *arena;
};

err_t update_writer_open(struct update_writer **out, struct artifact *artifact, const struct comm *c,
                         const struct layout *l, enum arithmetic arithmetic, struct arena *a, struct err *e)
{
    *out = NULL;
    struct update_writer *w = NULL;
    int64_t *told = NULL;
    const int64_t each = (int64_t)c->np * COMM_GATHER;
    if (arena_array(a, "update.writer", 1, &w, e) == ERR_OK)
        arena_array(a, "update.writer", UPDATE_WAITING * each, &told, e);
    TRY_ALL(c, e);
    for (int i = 0; i < UPDATE_WAITING; i++)
        w->queue[i].told.all = told + i * each;
    w->comm = c;
    w->layout = l;
    w->arena = a;
    struct h5 *f;
    TRY(artifact_bulk(artifact, &f, e));
    int64_t most = l->elements > 0 ? l->elements : 1;
    const struct dataset *bits = values_dataset(NONFINITE_BITS, arithmetic);
    TRY(h5_dataset(f, &update_datasets[BITMAP], l->nwords, 0, &w->bitmap, e));
    TRY(h5_dataset(f, values_dataset(OLD, arithmetic), 0, most, &w->old_bits, e));
    TRY(h5_dataset(f, values_dataset(NEW, arithmetic), 0, most, &w->new_bits, e));
    TRY(h5_dataset(f, &update_datasets[FIRST], l->nblocks + 1, 0, &w->first_value, e));
    TRY(h5_dataset(f, &update_datasets[NONFINITE], 0, most / 64 + 1, &w->nonfinite, e));
    TRY(h5_dataset(f, bits, 0, most / 64 + 1, &w->nonfinite_bits, e));
    *out = w;
    return ERR_OK;
}

void update_writer_put(struct update_writer *w, const struct update_part *p, const struct err *e)
{
    struct waiting *x = &w->queue[w->put++ % UPDATE_WAITING];
    x->part = p;
    x->told.mine[VALUES] = p->nvalues;
    x->told.mine[ODD] = p->nnonfinite;
    x->told.mine[FAILED] = e->code != ERR_OK;
    comm_gather_start(w->comm, &x->told);
}

/* Collective, but nobody waits. Exactly as long as all windows so far: a dataset that is made longer than
 * needed and cut in the end has its last chunk read and written back, whatever others write to it. */
static void make_room(const struct update_writer *w, int64_t values, int64_t nonfinite, struct err *e)
{
    struct err first = *e;
    if (values > 0) {
        h5_bulk_grow(w->old_bits, w->nvalues, e);
        h5_bulk_grow(w->new_bits, w->nvalues, e);
    }
    if (nonfinite > 0) {
        h5_bulk_grow(w->nonfinite, w->nnonfinite, e);
        h5_bulk_grow(w->nonfinite_bits, w->nnonfinite, e);
    }
    if (first.code != ERR_OK && e->code != ERR_SYSTEM)
        *e = first;
}

/* Local. Writes a part whose values and non-finite elements begin at these places. */
static err_t write_part(struct update_writer *w, const struct update_part *p, int64_t values,
                        int64_t nonfinite, struct err *e)
{
    int64_t nblocks = p->to - p->from;
    if (nblocks == 0)
        return ERR_OK;
    int64_t word0 = layout_block(w->layout, p->from).word;
    int64_t need = nblocks > p->nnonfinite ? nblocks : p->nnonfinite;
    TRY(h5_put(w->bitmap, word0, p->nwords, p->words, e));
    TRY(h5_put(w->old_bits, values, p->nvalues, p->old_bits, e));
    TRY(h5_put(w->new_bits, values, p->nvalues, p->new_bits, e));
    TRY(arena_grow(w->arena, "update.scratch", need, &w->cap, &w->scratch, e));
    for (int64_t i = 0; i < nblocks; i++)
        w->scratch[i] = values + p->first_value[i];
    TRY(h5_put(w->first_value, p->from, nblocks, w->scratch, e));
    for (int64_t i = 0; i < p->nnonfinite; i++)
        w->scratch[i] = 64 * word0 + p->nonfinite[i];
    TRY(h5_put(w->nonfinite, nonfinite, p->nnonfinite, w->scratch, e));
    return h5_put(w->nonfinite_bits, nonfinite, p->nnonfinite, p->nonfinite_bits, e);
}

/* Collective. Writes the window that waits longest. */
static err_t write_oldest(struct update_writer *w, struct err *e)
{
    struct waiting *x = &w->queue[w->written++ % UPDATE_WAITING];
    comm_gather_end(&x->told);
    int64_t values = 0, nonfinite = 0, all_values = 0, all_nonfinite = 0, failed = 0;
    for (int q = 0; q < w->comm->np; q++) {
        const int64_t *told = x->told.all + (int64_t)q * COMM_GATHER;
        if (q == w->comm->me) {
            values = w->nvalues + all_values;
            nonfinite = w->nnonfinite + all_nonfinite;
        }
        all_values += told[VALUES];
        all_nonfinite += told[ODD];
        failed |= told[FAILED] != 0;
    }
    w->nvalues += all_values;
    w->nnonfinite += all_nonfinite;
    if (failed) {
        for (; w->written < w->put; w->written++)
            comm_gather_end(&w->queue[w->written % UPDATE_WAITING].told);
        return comm_agree(w->comm, e);
    }
    make_room(w, all_values, all_nonfinite, e);
    if (e->code == ERR_OK)
        write_part(w, x->part, values, nonfinite, e);
    return ERR_OK;
}

err_t update_writer_flush(struct update_writer *w, struct err *e)
{
    return w->put - w->written == UPDATE_WAITING ? write_oldest(w, e) : ERR_OK;
}

err_t update_writer_close(struct update_writer *w, struct err *e)
{
    while (w->written < w->put)
        TRY(write_oldest(w, e));
    if (w->comm->me == 0)
        h5_put(w->first_value, w->layout->nblocks, 1, &w->nvalues, e);
    return comm_agree(w->comm, e);
}
