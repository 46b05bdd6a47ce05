#include "compare/names/suggest.h"

#include "compare/named.h"
#include "compare/names/rename.h"
#include "compare/packing.h"

#include <stdio.h>
#include <string.h>

enum { MOST_RULES = 24, DERIVED = 4, MORE_ROUNDS = 2, LOOKED_AT = 32, PREFIX_BYTES = 64, MOST_HAVE = 64 };

/* What wrappers put in front of a module's name, or into it; the outer ones last. Sources: torch's
 * OptimizedModule, FullyShardedDataParallel, checkpoint_wrapper and DistributedDataParallel; DeepSpeed's
 * engine; PEFT's PeftModel. */
static const char *const wrappers[] = {
    "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module. ->",
    "module. ->", "base_model.model. ->"};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers };

/* Names of the same model, as different programs write them. Rules of a row that match nothing are left out.
 */
static const char *const rows[][4] = {
    {NULL},
    {"model.language_model. -> model.", "model.visual. -> visual."},
    {"model. -> model.language_model.", "visual. -> model.visual."},
    {"model.visual. -> visual."},
    {"visual. -> model.visual."},
    {"model.language_model. -> language_model.model.", "lm_head. -> language_model.lm_head.",
     "model.vision_tower. -> vision_tower.", "model.multi_modal_projector. -> multi_modal_projector."},
    {"language_model.model. -> model.language_model.", "language_model.lm_head. -> lm_head.",
     "vision_tower. -> model.vision_tower.", "multi_modal_projector. -> model.multi_modal_projector."},
    {"language_model. ->"},
    {"model.language_model. ->"},
    {"model. ->"},
    {"layers. -> model.layers.", "embed_tokens. -> model.embed_tokens.", "norm. -> model.norm."},
    {"transformer. ->"},
    {"h. -> transformer.h.", "wte. -> transformer.wte.", "wpe. -> transformer.wpe.",
     "ln_f. -> transformer.ln_f."},
    {"torchtitan"},
};
enum { ROWS = sizeof rows / sizeof *rows, ROW_RULES = 4 };

struct suggestion {
    const struct checkpoint *base, *tuned;
    const struct text_list *have;
    struct named_list names; /* the base's */
    struct mem *mem;
    char derived[(4 + 2 * MORE_ROUNDS) * DERIVED][PREFIX_BYTES + 8]; /* rules, from names: of all attempts */
    int nderived;
};

/* Rules that are tried, after those that there are. */
struct attempt {
    int n;
    const char *rules[MOST_RULES];
    int64_t matched; /* tensors of the base; -1: it cannot be done */
};

/* ---- trying ---- */

static int64_t count_matched(const struct named_list *base, const struct named_list *tuned)
{
    int64_t n = 0;
    for (struct named_walk w = {{0, 0}, NULL, NULL}; named_next(base, tuned, &w);)
        n += w.base && w.tuned && !w.base->tensor->serves;
    return n;
}

/* The tuned names under the rules there are and those of x, of which what matches nothing is taken out. */
static err_t apply_all(struct suggestion *s, struct attempt *x, struct named_list *list, struct arena *a,
                       struct err *e)
{
    int64_t found;
    int kept = 0;
    TRY(named_list_of(list, s->tuned->tensors, s->tuned->ntensors, a, e));
    for (int i = 0; i < s->have->n; i++)
        TRY(rename_apply(list, s->have->v[i], &found, s->base, s->tuned, a, e));
    for (int i = 0; i < x->n; i++) {
        TRY(rename_apply(list, x->rules[i], &found, s->base, s->tuned, a, e));
        if (found > 0)
            x->rules[kept++] = x->rules[i];
    }
    x->n = kept;
    return rename_sort(list, s->tuned, e);
}

/* How many of the base's tensors have one of their name; with `packed` also those packed otherwise. */
static void try_rules(struct suggestion *s, struct attempt *x, int packed)
{
    struct arena scratch;
    struct err e;
    struct packing packing = {0};
    struct named_list list;
    arena_init(&scratch, s->mem);
    err_clear(&e);
    err_t code = apply_all(s, x, &list, &scratch, &e);
    if (code == ERR_OK && packed)
        code = packing_align(&packing, &s->names, &list, &scratch, &e);
    x->matched = code == ERR_OK ? count_matched(&s->names, &list) : -1;
    arena_release(&scratch);
}

/* ---- what is tried ---- */

/* Letters that need no care in YAML and in a shell. */
static int is_plain(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", p[i]))
            return 0;
    return 1;
}

static void derive(struct suggestion *s, const char *prefix, size_t n, int of_base)
{
    char *rule = s->derived[s->nderived];
    if (n == 0 || n > PREFIX_BYTES || !is_plain(prefix, n))
        return;
    snprintf(rule, sizeof s->derived[0], of_base ? "* -> %.*s*" : "%.*s ->", (int)n, prefix);
    for (int i = 0; i < s->nderived; i++)
        if (strcmp(s->derived[i], rule) == 0)
            return;
    s->nderived++;
}

/* What names of `longer` have in front of names of `other`: rules for up to DERIVED different ones. */
static void derive_from(struct suggestion *s, const struct named_list *longer, const struct named_list *other,
                        int of_base)
{
    int most = s->nderived + DERIVED;
    int64_t step = longer->n / LOOKED_AT + 1;
    for (int64_t i = 0; i < longer->n && s->nderived < most; i += step) {
        const char *name = longer->v[i].name;
        if (named_find(other, name))
            continue;
        for (const char *p = strchr(name, '.'); p; p = strchr(p + 1, '.'))
            if (named_find(other, p + 1)) {
                derive(s, name, (size_t)(p + 1 - name), of_base);
                break;
            }
    }
}

/* Rules from what stands in front of names once the rules of x are applied. */
static void derive_rules(struct suggestion *s, const struct attempt *x)
{
    struct arena scratch;
    struct err e;
    struct named_list list;
    struct attempt same = *x;
    arena_init(&scratch, s->mem);
    err_clear(&e);
    if (apply_all(s, &same, &list, &scratch, &e) == ERR_OK) {
        derive_from(s, &list, &s->names, 0);
        derive_from(s, &s->names, &list, 1);
    }
    arena_release(&scratch);
}

static void add(struct attempt *x, const char *rule)
{
    if (rule && x->n < MOST_RULES)
        x->rules[x->n++] = rule;
}

static void keep_better(struct attempt *best, const struct attempt *x)
{
    if (x->matched > best->matched)
        *best = *x;
}

/* Every row behind the rules of `from`. */
static void try_rows(struct suggestion *s, const struct attempt *from, struct attempt *best)
{
    for (int r = 0; r < ROWS; r++) {
        struct attempt x = *from;
        for (int i = 0; i < ROW_RULES; i++)
            add(&x, rows[r][i]);
        try_rules(s, &x, 0);
        keep_better(best, &x);
    }
}

/* Every rule that is derived from what `from` makes of the names, behind it. */
static void try_derived(struct suggestion *s, const struct attempt *from, struct attempt *best)
{
    int i = s->nderived;
    derive_rules(s, from);
    for (; i < s->nderived; i++) {
        struct attempt x = *from;
        add(&x, s->derived[i]);
        try_rules(s, &x, 0);
        keep_better(best, &x);
    }
}

/* Names of which one rule takes a part need another: a model's towers are renamed each by its own. */
static void try_more(struct suggestion *s, struct attempt *best)
{
    const int64_t all = s->names.n;
    for (int round = 0; round < MORE_ROUNDS && best->matched < all; round++) {
        const struct attempt from = *best;
        try_rows(s, &from, best);
        try_derived(s, &from, best);
        if (best->matched == from.matched)
            return;
    }
}

/* ---- saying ---- */

static int64_t count_tensors(const struct named_list *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->n; i++)
        n += !l->v[i].tensor->serves;
    return n;
}

static const char *say(const struct suggestion *s, const struct attempt *x, struct arena *a)
{
    struct text out = {.arena = a};
    struct err e;
    int n = s->have->n + x->n;
    err_clear(&e);
    text_add(&out, &e, "with rename: [");
    for (int i = 0; i < n; i++) {
        text_add(&out, &e, "%s", i > 0 ? ", " : "");
        text_add_json(&out, &e, i < s->have->n ? s->have->v[i] : x->rules[i - s->have->n]);
    }
    text_add(&out, &e, "] %lld of %lld match", (long long)x->matched, (long long)count_tensors(&s->names));
    return e.code == ERR_OK ? out.text : NULL;
}

const char *suggest_rename(const struct checkpoint *base, const struct checkpoint *tuned,
                           const struct text_list *have, struct arena *a)
{
    struct suggestion s = {.base = base, .tuned = tuned, .have = have, .mem = a->mem};
    struct attempt none = {.n = 0}, best = {.matched = -1}, bare = {.n = 0};
    struct arena lists;
    struct err e;
    const char *text = NULL;
    err_clear(&e);
    arena_init(&lists, a->mem);
    if (have->n <= MOST_HAVE &&
        named_list_of(&s.names, base->tensors, base->ntensors, &lists, &e) == ERR_OK) {
        try_rules(&s, &none, 0);
        for (int round = 0; round < 2; round++) /* a wrapper may stand round another */
            for (int i = 0; i < WRAPPERS; i++)
                add(&bare, wrappers[i]);
        try_rules(&s, &bare, 0);                         /* leaves those that are there */
        if (have->n == 0 && bare.matched > none.matched) /* taken off unasked: no rule is needed for it */
            none.matched = bare.matched;
        try_rows(&s, &none, &best); /* what is known comes before what is guessed from names */
        if (bare.n > 0)
            try_rows(&s, &bare, &best);
        try_derived(&s, &none, &best);
        if (bare.n > 0)
            try_derived(&s, &bare, &best);
        if (best.matched > none.matched)
            try_more(&s, &best);
        if (best.matched > none.matched && best.n > 0) {
            try_rules(&s, &best, 1);
            text = best.matched > 0 ? say(&s, &best, a) : NULL;
        }
    }
    arena_release(&lists);
    return text;
}

/* ---- unasked ---- */

/* The list without wrappers' words, sorted anew; rules: which took something off. -1: two names would be one.
 */
static int unwrap(struct named_list *out, const struct named_list *list, const struct checkpoint *of,
                  char rules[WRAPPERS], struct arena *a, struct err *e)
{
    struct err twice;
    int64_t found;
    err_clear(&twice);
    *out = (struct named_list){.n = list->n};
    if (arena_array(a, "names.bare", list->n, &out->v, e) != ERR_OK)
        return -1;
    if (list->n > 0)
        memcpy(out->v, list->v, (size_t)list->n * sizeof *list->v);
    for (int round = 0; round < 2; round++) /* a wrapper may stand round another */
        for (int i = 0; i < WRAPPERS; i++) {
            if (rename_apply(out, wrappers[i], &found, of, of, a, e) != ERR_OK)
                return -1;
            rules[i] |= found > 0;
        }
    return rename_sort(out, of, &twice) == ERR_OK ? 0 : -1;
}

/* Is there a wrapper's word in any of the names? Most checkpoints have none. */
static int has_wrapper(const struct named_list *list)
{
    for (int64_t i = 0; i < list->n; i++)
        for (int k = 0; k < WRAPPERS; k++)
            if (strncmp(list->v[i].name, wrappers[k], strcspn(wrappers[k], " ")) == 0 ||
                (!strchr(wrappers[k], ' ') && strstr(list->v[i].name, wrappers[k])))
                return 1;
    return 0;
}

err_t suggest_unwrapped(struct named_list *base, const struct checkpoint *of_base, struct named_list *tuned,
                        const struct checkpoint *of_tuned, const char **what, struct arena *a, struct err *e)
{
    struct named_list bare[2];
    char rules[WRAPPERS] = {0};
    struct text words = {.arena = a};
    *what = NULL;
    if (!has_wrapper(base) && !has_wrapper(tuned))
        return ERR_OK;
    int can = unwrap(&bare[0], base, of_base, rules, a, e) == 0 &&
              unwrap(&bare[1], tuned, of_tuned, rules, a, e) == 0;
    if (!can || e->code != ERR_OK || count_matched(&bare[0], &bare[1]) <= count_matched(base, tuned))
        return e->code;
    for (int i = 0; i < WRAPPERS; i++)
        if (rules[i])
            TRY(text_add(&words, e, "%s\"%.*s\"", words.used > 0 ? ", " : "", (int)strcspn(wrappers[i], " "),
                         wrappers[i]));
    *base = bare[0];
    *tuned = bare[1];
    *what = words.text;
    return ERR_OK;
}
