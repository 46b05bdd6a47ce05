#include "command/naming.h"

#include "base/path.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PADDED = 12, NUMBER = 24, NAMES_ABOVE = 5 };

/* The next name of a path from *at on, which is moved behind it; n is 0 at the end. */
static struct span next_name(const char *path, int *at)
{
    while (path[*at] == '/')
        ++*at;
    struct span name = {*at, (int)strcspn(path + *at, "/")};
    *at += name.n;
    return name;
}

/* Of a file's name: without the ending that says what kind of file it is. */
static struct span stem(const char *path, struct span name)
{
    static const char *const endings[] = {".safetensors", ".bin", ".pt", ".pth"};
    for (int i = 0; i < 4; i++) {
        int n = (int)strlen(endings[i]);
        if (name.n > n && strncmp(path + name.at + name.n - n, endings[i], (size_t)n) == 0)
            name.n -= n;
    }
    return name;
}

static void merge(struct naming *all, const struct guess *g, int at)
{
    if (g->step >= 0) {
        all->step = g->step;
        all->step_at = (struct span){at + g->step_at.at, g->step_at.n};
    }
    if (g->seed >= 0)
        all->seed = g->seed;
    if (g->algorithm_at.n > 0)
        all->algorithm = (struct span){at + g->algorithm_at.at, g->algorithm_at.n};
    if (!g->ordinary)
        all->base = g->base;
}

struct naming naming_of(const struct sighting *s)
{
    struct naming all = {.step = -1, .seed = -1};
    int at = s->known;
    for (struct span name = next_name(s->path, &at); name.n > 0; name = next_name(s->path, &at)) {
        name = stem(s->path, name);
        struct guess g = guess_name(s->path + name.at, name.n);
        merge(&all, &g, name.at);
    }
    if (s->says) {
        struct guess g = guess_name(s->says, (int)strlen(s->says));
        if (g.step >= 0) {
            all.step = g.step;
            all.step_at = (struct span){0};
        }
        if (g.seed >= 0)
            all.seed = g.seed;
    }
    return all;
}

err_t naming_folder(const char *path, char **out, struct arena *a, struct err *e)
{
    int end = (int)strlen(path);
    while (end > 0) {
        int at = end;
        while (at > 0 && path[at - 1] != '/')
            at--;
        struct guess g = guess_name(path + at, end - at);
        if (end > at && !g.ordinary && !g.base && g.step < 0 && g.seed < 0) {
            *out = guess_word(a, path + at, end - at, e);
            return e->code;
        }
        end = at > 0 ? at - 1 : 0;
    }
    *out = guess_word(a, "", 0, e);
    return e->code;
}

/* The folder that a relative path begins in. */
static err_t name_of_here(const char *path, char **out, struct arena *a, struct err *e)
{
    char real[PATH_MAX];
    char *dir = path_dir(a, path, e);
    if (!dir)
        return e->code;
    return realpath(dir, real) ? naming_folder(real, out, a, e) : naming_folder("", out, a, e);
}

err_t naming_family(const struct sighting *base, struct span *raw, char **out, struct arena *a, struct err *e)
{
    *raw = (struct span){0};
    if (base->hub) {
        const char *name = path_last(base->hub);
        *out = guess_word(a, name, (int)strlen(name), e);
        return e->code;
    }
    int at = base->known;
    for (struct span name = next_name(base->path, &at); name.n > 0; name = next_name(base->path, &at)) {
        name = stem(base->path, name);
        struct guess g = guess_name(base->path + name.at, name.n);
        if (!g.base && !g.ordinary && g.step < 0 && g.seed < 0 && g.algorithm_at.n == 0)
            *raw = name;
    }
    if (raw->n == 0)
        return name_of_here(base->path, out, a, e);
    *out = guess_word(a, base->path + raw->at, raw->n, e);
    return e->code;
}

int naming_common(const char *p, const char *q)
{
    int common = 0;
    for (int i = 0;; i++) {
        int p_ends = p[i] == '\0' || p[i] == '/', q_ends = q[i] == '\0' || q[i] == '/';
        if (p_ends && q_ends)
            common = i;
        if (p[i] != q[i] || p[i] == '\0')
            return common;
    }
}

err_t naming_rest(const struct sighting *tuned, const struct sighting *base, const char *family, char **out,
                  struct arena *a, struct err *e)
{
    struct text rest = {.arena = a};
    int at = naming_common(tuned->path, base->path);
    at = at > tuned->known ? at : tuned->known;
    TRY(text_add(&rest, e, "%s", ""));
    for (struct span name = next_name(tuned->path, &at); name.n > 0; name = next_name(tuned->path, &at)) {
        name = stem(tuned->path, name);
        struct guess g = guess_name(tuned->path + name.at, name.n);
        char *word = guess_word(a, tuned->path + name.at, name.n, e);
        if (!word)
            return e->code;
        if (!g.ordinary && g.step < 0 && g.seed < 0 && strcmp(word, family) != 0)
            TRY(text_add(&rest, e, "%s%s", rest.used ? "-" : "", word));
    }
    *out = rest.used ? guess_word(a, rest.text, (int)rest.used, e) : rest.text;
    return e->code;
}

err_t naming_above(const struct sighting *tuned, char **out, struct arena *a, struct err *e)
{
    char real[PATH_MAX];
    *out = NULL;
    if (!realpath(tuned->path, real))
        return ERR_OK;
    int end = (int)strlen(real);
    for (int names = 0; names < NAMES_ABOVE && end > 0; names++) {
        int at = end;
        while (at > 0 && real[at - 1] != '/')
            at--;
        struct guess g = guess_name(real + at, end - at);
        if (g.algorithm_at.n > 0) {
            *out = arena_strndup(a, real + at + g.algorithm_at.at, (size_t)g.algorithm_at.n, e);
            return e->code;
        }
        end = at > 0 ? at - 1 : 0;
    }
    return ERR_OK;
}

/* ---- patterns ---- */

/* The span of a name that stands for a word; n is 0 where there is none. */
struct word_place {
    struct span at;
    const char *word;
};

/* Is it the number as a config writes it, without zeros in front? */
static int is_plain(const char *digits, struct span at)
{
    return at.n == 1 || digits[at.at] != '0';
}

/* The places in one name, in its order. Returns how many, at most 3. */
static int find_places(const char *name, int n, const struct naming_words *w, struct word_place *out)
{
    struct guess g = guess_name(name, n);
    int count = 0;
    if (w->family && (int)strlen(w->family) == n && memcmp(name, w->family, (size_t)n) == 0) {
        out[0] = (struct word_place){{0, n}, "{family}"};
        return 1;
    }
    if (w->algorithm && g.algorithm_at.n == (int)strlen(w->algorithm) &&
        memcmp(name + g.algorithm_at.at, w->algorithm, (size_t)g.algorithm_at.n) == 0)
        out[count++] = (struct word_place){g.algorithm_at, "{algorithm}"};
    if (w->seed >= 0 && g.seed == w->seed && is_plain(name, g.seed_at))
        out[count++] = (struct word_place){g.seed_at, "{seed}"};
    if (w->step >= 0 && g.step == w->step)
        out[count++] = (struct word_place){g.step_at, "{step}"};
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && out[k].at.at < out[k - 1].at.at; k--) {
            struct word_place swap = out[k];
            out[k] = out[k - 1];
            out[k - 1] = swap;
        }
    return count;
}

/* Would {step} in the place of these digits find this path and no other? */
static int finds_itself(const char *path, struct span digits, int64_t step)
{
    char number[NUMBER], other[PATH_MAX];
    int plain = snprintf(number, sizeof number, "%lld", (long long)step);
    if (digits.n == plain)
        return 1;
    for (int n = plain; n <= MOST_PADDED; n++) {
        int used = snprintf(other, sizeof other, "%.*s%0*lld%s", digits.at, path, n, (long long)step,
                            path + digits.at + digits.n);
        if (used >= (int)sizeof other || (n != digits.n && access(other, F_OK) == 0))
            return 0;
    }
    return digits.n <= MOST_PADDED;
}

err_t naming_pattern(const struct sighting *s, const struct naming_words *words, char **out, struct arena *a,
                     struct err *e)
{
    struct text t = {.arena = a};
    int at = s->known, done = 0, nsteps = 0, padded = 0;
    *out = NULL;
    if (strpbrk(s->path, "{}"))
        return ERR_OK;
    for (struct span name = next_name(s->path, &at); name.n > 0; name = next_name(s->path, &at)) {
        struct word_place places[3];
        name = stem(s->path, name);
        int n = find_places(s->path + name.at, name.n, words, places);
        for (int i = 0; i < n; i++) {
            struct span span = {name.at + places[i].at.at, places[i].at.n};
            if (strcmp(places[i].word, "{step}") == 0) {
                nsteps++;
                padded |= !is_plain(s->path, span);
                if (!finds_itself(s->path, span, words->step))
                    return ERR_OK;
            }
            TRY(text_add(&t, e, "%.*s%s", span.at - done, s->path + done, places[i].word));
            done = span.at + span.n;
        }
    }
    if (padded && nsteps > 1) /* both would be padded alike: not looked into */
        return ERR_OK;
    TRY(text_add(&t, e, "%s", s->path + done));
    *out = t.text;
    return ERR_OK;
}
