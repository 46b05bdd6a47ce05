#include "compare/match_policy.h"

#include <stdio.h>
#include <string.h>

int match_policy_same(const struct match_policy *p, const struct match_policy *q)
{
    int same = p->rows == q->rows && p->skip_unmatched == q->skip_unmatched &&
               p->include_mtp == q->include_mtp && p->coverage == q->coverage && p->rename.n == q->rename.n;
    for (int i = 0; same && i < p->rename.n; i++)
        same = strcmp(p->rename.v[i], q->rename.v[i]) == 0;
    return same;
}

static const char *const rows_words[] = {"fail", "common", "skip"};

err_t match_policy_write(const struct match_policy *p, struct h5 *f, struct err *e)
{
    TRY(h5_set_text(f, "/", "rows", rows_words[p->rows], e));
    TRY(h5_set_text(f, "/", "unmatched", p->skip_unmatched ? "skip" : "fail", e));
    TRY(h5_set_text(f, "/", "mtp", p->include_mtp ? "include" : "exclude", e));
    TRY(h5_set_real(f, "/", "coverage", p->coverage, e));
    TRY(h5_set_int(f, "/", "renames", p->rename.n, e));
    for (int i = 0; i < p->rename.n; i++) {
        char name[32];
        snprintf(name, sizeof name, "rename_%d", i);
        TRY(h5_set_text(f, "/", name, p->rename.v[i], e));
    }
    return ERR_OK;
}

static err_t read_choice(struct h5 *f, const char *name, const char *const *words, int nwords, int *out,
                         struct err *e)
{
    char *text;
    TRY(h5_get_text(f, "/", name, &text, e));
    for (*out = 0; *out < nwords; ++*out)
        if (strcmp(words[*out], text) == 0)
            return ERR_OK;
    return err_set(e, ERR_DATA, "attribute %s: \"%.60s\" is unknown", name, text);
}

err_t match_policy_read(struct match_policy *p, struct h5 *f, struct arena *a, struct err *e)
{
    static const char *const unmatched_words[] = {"fail", "skip"}, *const mtp_words[] = {"exclude",
                                                                                         "include"};
    int rows;
    int64_t n;
    *p = (struct match_policy){.rows = MATCH_ROWS_FAIL};
    TRY(read_choice(f, "rows", rows_words, 3, &rows, e));
    p->rows = (enum match_rows)rows;
    TRY(read_choice(f, "unmatched", unmatched_words, 2, &p->skip_unmatched, e));
    TRY(read_choice(f, "mtp", mtp_words, 2, &p->include_mtp, e));
    TRY(h5_get_real(f, "/", "coverage", &p->coverage, e));
    TRY(h5_get_int(f, "/", "renames", &n, e));
    if (n < 0 || n > 1000)
        return err_set(e, ERR_DATA, "attribute renames: %lld is no number of rules", (long long)n);
    TRY(arena_array(a, "match.rename", n, &p->rename.v, e));
    for (p->rename.n = 0; p->rename.n < n; p->rename.n++) {
        char name[32], *text;
        snprintf(name, sizeof name, "rename_%d", p->rename.n);
        TRY(h5_get_text(f, "/", name, &text, e));
        p->rename.v[p->rename.n] = text;
    }
    return ERR_OK;
}
