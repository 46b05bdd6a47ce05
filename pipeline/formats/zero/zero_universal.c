#include "formats/zero/zero_universal.h"

#include "base/dict.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/zero/zero_map.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char file_name[] = "fp32.pt";

/* ---- the folder ---- */

static int has_master(const char *folder, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s/%s", folder, name, file_name);
    return name[0] != '.' && n > 0 && n < (int)sizeof path && stat(path, &st) == 0;
}

static err_t list_names(const char *folder, const char ***names, int64_t *n, struct arena *a, struct err *e)
{
    DIR *d = opendir(folder);
    int64_t cap = 0;
    *names = NULL;
    *n = 0;
    if (!d)
        return err_set(e, ERR_SYSTEM, "%s: cannot be listed: %s", folder, strerror(errno));
    for (struct dirent *entry = readdir(d); entry && e->code == ERR_OK; entry = readdir(d)) {
        if (!has_master(folder, entry->d_name) ||
            arena_grow(a, "zero.names", *n + 1, &cap, names, e) != ERR_OK)
            continue;
        (*names)[*n] = arena_strdup(a, entry->d_name, e);
        *n += (*names)[*n] != NULL;
    }
    closedir(d);
    if (*n > 0 && e->code == ERR_OK)
        qsort(*names, (size_t)*n, sizeof **names, text_order);
    return e->code;
}

/* ---- a file ---- */

/* The shape that the model states have of it: a flat tensor gets it, another one must have it. */
static err_t take_shape(const struct torch_reader *r, struct stored_tensor *t, const struct zero_param *p,
                        struct err *e)
{
    char have[200], want[200];
    int same = t->ndim == p->t.ndim && memcmp(t->dims, p->t.dims, (size_t)t->ndim * sizeof *t->dims) == 0;
    if (same)
        return ERR_OK;
    if (t->ndim != 1 || t->elements != p->t.elements)
        return err_set(e, ERR_DATA, "%s: tensor %s: shape %s, expected %s (param_shapes of the model states)",
                       r->path, t->name, shape_text(t->ndim, t->dims, have, sizeof have),
                       shape_text(p->t.ndim, p->t.dims, want, sizeof want));
    t->ndim = p->t.ndim;
    memcpy(t->dims, p->t.dims, sizeof t->dims);
    return ERR_OK;
}

static err_t take_tensor(struct torch_reader *r, struct stored_tensor *t, const char *name, int file,
                         const struct zero_param *p, struct err *e)
{
    const struct pickle_value key = {.kind = PICKLE_TEXT, .n = (int64_t)strlen(name), .text = name},
                              *root = r->pickle.root;
    TRY(torch_reader_name(r, t, &key, e));
    if (zero_is_map(root))
        root = pickle_get(&r->pickle, root, "param");
    if (!root)
        return zero_refuse(r, "param", "a tensor", root, e);
    TRY(rebuild_tensor(r, t, root, e));
    t->file = file;
    if (t->strides || !dtype_is_compared(t->dtype))
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: expected floating-point numbers in row-major order, found %s%s",
                       r->path, t->name, dtype_name(t->dtype), t->strides ? " in another" : "");
    return p ? take_shape(r, t, p, e) : ERR_OK;
}

static err_t read_file(struct stored_tensor *t, const char *folder, const char *name,
                       const struct zero_param *p, struct stored_list *list, struct arena *a, struct err *e)
{
    struct torch_reader r;
    struct arena scratch = {0};
    int file = -1;
    char *path = arena_printf(a, e, "%s/%s/%s", folder, name, file_name);
    if (!path)
        return e->code;
    arena_init(&scratch, a->mem);
    err_t code = zero_open(&r, path, list, &file, a, &scratch, e);
    if (code == ERR_OK)
        code = take_tensor(&r, t, name, file, p, e);
    arena_release(&scratch);
    return code;
}

err_t zero_universal_read(struct stored_tensor **out, int64_t *n, const char *folder,
                          const struct zero_model *m, struct stored_list *list, struct arena *a,
                          struct err *e)
{
    const char **names;
    struct dict params = {.arena = a}, found = {.arena = a};
    TRY(list_names(folder, &names, n, a, e));
    for (int64_t i = 0; m && i < m->nparams; i++)
        TRY(dict_put(&params, m->params[i].t.name, i, e));
    TRY(arena_array(a, "zero.universal", *n, out, e));
    for (int64_t i = 0; i < *n; i++) {
        int64_t k = dict_find(&params, names[i]);
        TRY(dict_put(&found, names[i], i, e));
        TRY(read_file(&(*out)[i], folder, names[i], k >= 0 ? &m->params[k] : NULL, list, a, e));
    }
    for (int64_t i = 0; m && i < m->nparams; i++)
        if (dict_find(&found, m->params[i].t.name) < 0 && m->params[i].t.elements > 0)
            return err_set(e, ERR_DATA, "%s: tensor %s: expected %s/%s, found none: copy the folder whole",
                           folder, m->params[i].t.name, m->params[i].t.name, file_name);
    return ERR_OK;
}
