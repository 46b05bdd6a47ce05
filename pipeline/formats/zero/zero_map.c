#include "formats/zero/zero_map.h"

#include <stdio.h>
#include <string.h>

err_t zero_open(struct torch_reader *r, const char *path, struct stored_list *list, int *file,
                struct arena *keep, struct arena *scratch, struct err *e)
{
    TRY(torch_reader_open(r, path, keep, scratch, e));
    *file = (int)list->nfiles;
    return stored_add_file(list, r->path, r->file_bytes, r->mtime_ns, r->header_hash, keep, e);
}

int zero_is_map(const struct pickle_value *v)
{
    return v && v->kind == PICKLE_DICT;
}

int64_t zero_int(const struct pickle *p, const struct pickle_value *map, const char *key, int64_t other)
{
    const struct pickle_value *v = pickle_get(p, map, key);
    return v && v->kind == PICKLE_INT ? v->i : other;
}

err_t zero_refuse(const struct torch_reader *r, const char *key, const char *expected,
                  const struct pickle_value *v, struct err *e)
{
    char told[PICKLE_TOLD], where[PICKLE_WHERE];
    return err_set(e, ERR_DATA, "%s: %s: expected %s, found %s%s", r->path, key, expected,
                   pickle_told(&r->pickle, v, told), pickle_where(v, "data.pkl", where));
}

void zero_folder_of(const char *path, char *dir, int size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(dir, (size_t)size, ".");
    else
        snprintf(dir, (size_t)size, "%.*s", (int)(slash - path), path);
}
