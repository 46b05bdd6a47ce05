#include "engine/verify/recatalogue.h"

#include "formats/catalogue.h"
#include "formats/headers.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>

int recatalogue_is_of(const struct node *n)
{
    for (const struct schema *const *s = n->stage->tables; s && *s; s++)
        if (*s == &schema_catalogue)
            return n->checkpoint != NULL && n->stage->scope == SCOPE_CHECKPOINT;
    return 0;
}

/* Is a tensor's place and shape the same in both? paths: of the headers' files, as catalogues name them. */
static int same_tensor(const struct checkpoint *kept, const struct stored_tensor *a,
                       const struct stored_tensor *b, const char *const *paths)
{
    int same = strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->ndim == b->ndim &&
               a->elements == b->elements && a->layer == b->layer && a->size_bytes == b->size_bytes &&
               (a->file < 0) == (b->file < 0);
    for (int i = 0; i < a->ndim && same; i++)
        same = a->dims[i] == b->dims[i];
    if (!same || a->file < 0)
        return same;
    return a->offset_bytes == b->offset_bytes && strcmp(kept->files[a->file].path, paths[b->file]) == 0;
}

static err_t compare(const struct checkpoint *kept, const struct checkpoint *now, char *what, size_t size,
                     struct arena *a, struct err *e)
{
    const char **paths;
    TRY(arena_array(a, "recatalogue.paths", now->nfiles, &paths, e));
    for (int64_t i = 0; i < now->nfiles; i++)
        if (!(paths[i] = path_absolute(a, now->files[i].path, e)))
            return e->code;
    if (kept->ntensors != now->ntensors)
        snprintf(what, size, "its catalogue has %lld tensors, the headers have %lld",
                 (long long)kept->ntensors, (long long)now->ntensors);
    for (int64_t i = 0; i < now->ntensors && !what[0]; i++)
        if (!same_tensor(kept, &kept->tensors[i], &now->tensors[i], paths))
            snprintf(what, size, "tensor %.100s is not as in the headers", now->tensors[i].name);
    return ERR_OK;
}

err_t recatalogue_compare(const struct runner *r, const struct node *n, char *what, size_t size,
                          struct err *e)
{
    struct checkpoint kept, *now = NULL;
    struct arena a;
    what[0] = '\0';
    arena_init(&a, r->mem);
    if (catalogue_read(&kept, n->path, &a, e) == ERR_OK &&
        headers_get(r->headers, n->checkpoint, &n->choice, &now, e) == ERR_OK)
        compare(&kept, now, what, size, &a, e);
    err_item(e, "%s", n->path);
    headers_put(r->headers, now);
    arena_release(&a);
    return e->code;
}
