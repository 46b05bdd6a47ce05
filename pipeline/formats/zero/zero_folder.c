#include "formats/zero/zero_folder.h"

#include "base/file.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DIGITS = 9, MAX_TAG_BYTES = 4096 };

/* ---- names ---- */

enum file_kind {
    FILE_OTHER,
    FILE_WHOLE,   /* mp_rank_MM_model_states.pt */
    FILE_MODEL,   /* zero_pp_rank_R_mp_rank_MM_model_states.pt */
    FILE_OPTIM,   /* [bf16_]zero_pp_rank_R_mp_rank_MM_optim_states.pt */
    FILE_EXPERT,  /* layer_L_expert_E_mp_rank_MM_model_states.pt and what belongs to it */
    FILE_PIPELINE /* layer_LL-model_MM-model_states.pt */
};

struct zero_file {
    enum file_kind kind;
    int64_t saver, part; /* its rank of data and of tensor parallelism */
    const char *name;
};

static int take(const char **p, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0)
        return 0;
    *p += n;
    return 1;
}

static int take_number(const char **p, int64_t *x)
{
    int n = 0;
    for (*x = 0; n < MAX_DIGITS && **p >= '0' && **p <= '9'; n++)
        *x = *x * 10 + *(*p)++ - '0';
    return n > 0 && !(**p >= '0' && **p <= '9');
}

/* "mp_rank_MM" and, of old pipelines, "_PPP" behind it, which counts as another part. */
static int take_part(const char **p, int64_t *part)
{
    const char *at = NULL;
    int64_t stage = 0;
    if (!take(p, "mp_rank_") || !take_number(p, part))
        return 0;
    at = *p;
    if (take(&at, "_") && take_number(&at, &stage)) {
        *p = at;
        *part += stage;
    }
    return 1;
}

static int is_end(const char *p, const char *end)
{
    return strcmp(p, end) == 0;
}

/* What a name says. */
static struct zero_file parse(const char *name)
{
    struct zero_file f = {FILE_OTHER, 0, 0, name};
    const char *p = name;
    int64_t number;
    if (take_part(&p, &f.part)) {
        f.kind = is_end(p, "_model_states.pt") ? FILE_WHOLE : FILE_OTHER;
        return f;
    }
    p = name;
    if (take(&p, "expp_rank_") || take(&p, "expert_")) {
        f.kind = is_end(p + strcspn(p, "."), ".pt") ? FILE_EXPERT : FILE_OTHER;
        return f;
    }
    if (take(&p, "layer_")) {
        if (take_number(&p, &number))
            f.kind = take(&p, "_expert_") ? FILE_EXPERT : take(&p, "-model_") ? FILE_PIPELINE : FILE_OTHER;
        return f;
    }
    if (!take(&p, "bf16_"))
        take(&p, "fp16_");
    if (!take(&p, "zero_pp_rank_") || !take_number(&p, &f.saver) || !take(&p, "_") || !take_part(&p, &f.part))
        return f;
    if (is_end(p, "_model_states.pt"))
        f.kind = FILE_MODEL;
    else if (is_end(p, "_optim_states.pt") || is_end(p, "optim_states.pt")) /* the second: of old */
        f.kind = FILE_OPTIM;
    return f;
}

/* ---- recognising ---- */

static int kind_of_path(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n <= 0 || n >= (int)sizeof path || stat(path, &st) != 0)
        return 0;
    return S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : 0;
}

/* The first of a folder's files in the order of their kinds, then of their ranks. */
static int first_file(const char *dir, char *name, int size)
{
    struct zero_file best = {FILE_OTHER, 0, 0, NULL};
    DIR *d = opendir(dir);
    if (!d)
        return 0;
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        struct zero_file f = parse(entry->d_name);
        if (f.kind == FILE_OTHER || f.kind == FILE_EXPERT || f.kind == FILE_PIPELINE ||
            (int)strlen(entry->d_name) >= size)
            continue;
        if (best.kind != FILE_OTHER &&
            (f.kind > best.kind ||
             (f.kind == best.kind && (f.part > best.part || (f.part == best.part && f.saver >= best.saver)))))
            continue;
        best = f;
        snprintf(name, (size_t)size, "%s", entry->d_name);
    }
    closedir(d);
    return best.kind != FILE_OTHER;
}

/* The only folder global_stepN below dir; of several, none is meant more than the others. */
static int only_step(const char *dir, char *name, int size)
{
    int found = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        const char *p = entry->d_name;
        int64_t number;
        if (!take(&p, "global_step") || !take_number(&p, &number) || *p ||
            kind_of_path(dir, entry->d_name) != 'd')
            continue;
        found++;
        snprintf(name, (size_t)size, "%s", entry->d_name);
    }
    if (d)
        closedir(d);
    return found == 1;
}

/* The files that name a step's folder, in the order in which they are looked for. */
static const char *const pointers[] = {"latest", "latest_universal"};

int zero_folder_find(const char *dir, char *name, int size)
{
    char step[NAME_MAX + 1], below[PATH_MAX], file[NAME_MAX + 1];
    for (int i = 0; i < 2; i++)
        if (kind_of_path(dir, pointers[i]) == 'f')
            return snprintf(name, (size_t)size, "%s", pointers[i]) < size;
    if (first_file(dir, name, size))
        return 1;
    if (!only_step(dir, step, sizeof step) ||
        snprintf(below, sizeof below, "%s/%s", dir, step) >= (int)sizeof below ||
        !first_file(below, file, sizeof file))
        return 0;
    return snprintf(name, (size_t)size, "%s/%s", step, file) < size;
}

/* ---- latest ---- */

/* NULL: the tag is the name of a folder. */
static const char *tag_fault(const char *tag)
{
    if (!tag[0])
        return "is empty";
    if (strchr(tag, '/') || strcmp(tag, ".") == 0 || strcmp(tag, "..") == 0)
        return "leaves its folder";
    for (const char *p = tag; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return "holds a control character";
    return strlen(tag) > NAME_MAX ? "is longer than a name can be" : NULL;
}

/* The step's folder that the file `latest` names. */
static err_t follow(struct zero_folder *f, const char *path, struct arena *a, struct err *e)
{
    char *text;
    int64_t n;
    TRY(file_read(a, path, MAX_TAG_BYTES, &text, &n, e));
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        text[--n] = '\0';
    const char *fault = (int64_t)strlen(text) < n ? "holds a NUL" : tag_fault(text);
    if (fault)
        return err_set(e, ERR_DATA,
                       "%s: what it names %s: expected the name of a step's folder beside it, such as "
                       "global_step10",
                       path, fault);
    if (kind_of_path(f->run, text) != 'd')
        return err_set_part(
            e,
            "%s: it names the folder \"%s\", which is not in %s: copy it too, or name another "
            "step's folder",
            path, text, f->run);
    f->dir = path_join(a, f->run, text, e);
    return e->code;
}

/* ---- the files ---- */

static int by_rank(const void *a, const void *b)
{
    const struct zero_file *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->saver != y->saver)
        return x->saver < y->saver ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Of what is no plain data parallelism. */
static err_t refuse_kind(const struct zero_folder *f, const struct zero_file *x, struct err *e)
{
    const char *what = x->kind == FILE_EXPERT     ? "experts in files of their own (DeepSpeed-MoE, AutoEP)"
                       : x->kind == FILE_PIPELINE ? "the layers of a pipeline"
                                                  : "a part of a model that is cut by tensor parallelism";
    return err_set(e, ERR_DATA,
                   "%s/%s: %s, expected a whole model on each rank; make a universal checkpoint "
                   "with: " ZERO_CONVERT ", and name that folder",
                   f->dir, x->name, what, f->dir, f->dir);
}

/* The paths of n files of one kind, whose ranks must be 0 to n-1. */
static err_t take_ranks(const struct zero_folder *f, const struct zero_file *v, int64_t n, const char ***out,
                        struct arena *a, struct err *e)
{
    const char *what = n > 0 && v[0].kind == FILE_OPTIM ? "optim_states" : "model_states";
    TRY(arena_array(a, "zero.paths", n, out, e));
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && v[i].saver == v[i - 1].saver)
            return err_set(
                e, ERR_DATA,
                "%s: %s and %s are both of rank %lld: expected one file of a rank; files of two runs "
                "are mixed",
                f->dir, v[i - 1].name, v[i].name, (long long)v[i].saver);
        if (v[i].saver != i)
            return err_set_part(
                e,
                "%s: the %s of rank %lld are missing: found %lld files, up to rank %lld; copy those "
                "of all ranks into one folder",
                f->dir, what, (long long)i, (long long)n, (long long)v[n - 1].saver);
        (*out)[i] = path_join(a, f->dir, v[i].name, e);
        if (!(*out)[i])
            return e->code;
    }
    return ERR_OK;
}

/* Names of the folder's files that mean something, sorted. */
static err_t list(const struct zero_folder *f, struct zero_file **v, int64_t *n, struct arena *a,
                  struct err *e)
{
    DIR *d = opendir(f->dir);
    int64_t cap = 0;
    *v = NULL;
    *n = 0;
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", f->dir, strerror(errno));
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        struct zero_file x = parse(entry->d_name);
        if (x.kind == FILE_OTHER || !(x.name = arena_strdup(a, entry->d_name, e)) ||
            arena_grow(a, "zero.files", *n + 1, &cap, v, e) != ERR_OK)
            continue;
        (*v)[(*n)++] = x;
    }
    closedir(d);
    if (*n > 0 && e->code == ERR_OK)
        qsort(*v, (size_t)*n, sizeof **v, by_rank);
    return e->code;
}

/* Of a universal checkpoint the model states of the first part are as good as those of the others. */
static int is_extra(const struct zero_folder *f, const struct zero_file *x)
{
    return f->universal && (x->part > 0 || x->kind == FILE_EXPERT || x->kind == FILE_PIPELINE);
}

/* Sorts the files into the folder's lists. */
static err_t sort_out(struct zero_folder *f, struct zero_file *v, int64_t n, struct arena *a, struct err *e)
{
    int64_t first[FILE_PIPELINE + 1] = {0}, count[FILE_PIPELINE + 1] = {0}, kept = 0;
    for (int64_t i = 0; i < n; i++) {
        f->partial |= is_extra(f, &v[i]);
        if (is_extra(f, &v[i]))
            continue;
        if (v[i].kind == FILE_EXPERT || v[i].kind == FILE_PIPELINE || v[i].part > 0)
            return refuse_kind(f, &v[i], e);
        v[kept] = v[i];
        if (count[v[kept].kind]++ == 0)
            first[v[kept].kind] = kept;
        kept++;
    }
    if (count[FILE_WHOLE] > 0 && count[FILE_MODEL] > 0)
        return err_set(e, ERR_DATA,
                       "%s: holds %s, which stages up to 2 write, and %s, which stage 3 writes: two runs are "
                       "mixed; keep one's files",
                       f->dir, v[first[FILE_WHOLE]].name, v[first[FILE_MODEL]].name);
    if (count[FILE_WHOLE] + count[FILE_MODEL] == 0 && !f->partial)
        return err_set_part(
            e,
            "%s: no model states: expected mp_rank_00_model_states.pt, or "
            "zero_pp_rank_0_mp_rank_00_model_states.pt and those of the other ranks, found %lld "
            "files of optimiser states",
            f->dir, (long long)count[FILE_OPTIM]);
    f->whole = count[FILE_WHOLE] > 0 ? path_join(a, f->dir, v[first[FILE_WHOLE]].name, e) : NULL;
    TRY(e->code);
    f->nmodels = count[FILE_MODEL];
    f->noptims = count[FILE_OPTIM];
    TRY(take_ranks(f, v + first[FILE_MODEL], f->nmodels, &f->models, a, e));
    return take_ranks(f, v + first[FILE_OPTIM], f->noptims, &f->optims, a, e);
}

err_t zero_folder_read(struct zero_folder *f, const char *path, struct arena *a, struct err *e)
{
    struct zero_file *v;
    int64_t n;
    *f = (struct zero_folder){0};
    f->run = path_dir(a, path, e);
    f->dir = f->run;
    if (!f->run)
        return e->code;
    for (int i = 0; i < 2; i++)
        if (strcmp(path_last(path), pointers[i]) == 0)
            TRY(follow(f, path, a, e));
    if (kind_of_path(f->dir, "zero") == 'd' && !(f->universal = path_join(a, f->dir, "zero", e)))
        return e->code;
    TRY(list(f, &v, &n, a, e));
    if (n == 0)
        return err_set(e, ERR_DATA,
                       "%s: no files of a DeepSpeed checkpoint: expected mp_rank_00_model_states.pt or "
                       "zero_pp_rank_0_mp_rank_00_model_states.pt",
                       f->dir);
    return sort_out(f, v, n, a, e);
}
