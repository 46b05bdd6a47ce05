#include "formats/folders/opening.h"

#include "base/path.h"
#include "formats/folders/hub.h"
#include "formats/folders/unread.h"
#include "formats/index.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static err_t open_file(struct opening *o, struct stored_list *out, const struct choice *choice,
                       struct arena *a, struct err *e)
{
    const struct format *format = format_of(o->path);
    if (!format)
        return format_refuse_file(o->path, a, e);
    TRY(unread_refuse_file(o->path, a, e));
    o->format = format;
    return format->open(out, o->path, choice, a, e);
}

/* An index beside the one file that was taken could be meant as well: which of them it was, is said. */
static err_t note_index(struct stored_list *list, const struct format *format, const char *dir,
                        const char *name, struct arena *a, struct err *e)
{
    if (!format->model || !format->index || strcmp(name, format->model) != 0 ||
        !format_has_entry(dir, format->index))
        return ERR_OK;
    list->note =
        arena_printf(a, e, "%s was taken, as transformers takes it, not %s and its shards beside it%s%s",
                     name, format->index, list->note ? "; " : "", list->note ? list->note : "");
    return list->note ? ERR_OK : e->code;
}

static err_t open_folder(struct opening *o, struct stored_list *out, const struct choice *choice,
                         struct arena *a, struct err *e)
{
    char name[PATH_MAX];
    enum format_source source = format_look(o->path, &o->format, name, sizeof name);
    if (source == FORMAT_NONE)
        return format_refuse_folder(o->path, a, e);
    if (source == FORMAT_INDEX)
        return index_open(out, o->format, o->path, choice, a, e);
    char *file = path_join(a, o->path, name, e);
    TRY(file ? o->format->open(out, file, choice, a, e) : e->code);
    return note_index(out, o->format, o->path, name, a, e);
}

err_t opening_list(struct opening *o, struct stored_list *out, const char *path, const struct choice *choice,
                   struct arena *a, struct err *e)
{
    struct stat st;
    *o = (struct opening){.path = path, .format = format_table[0]};
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                       "%s: no checkpoint: %s", path, strerror(errno));
    TRY(hub_resolve(path, &o->path, &o->note, a, e));
    return S_ISDIR(st.st_mode) ? open_folder(o, out, choice, a, e) : open_file(o, out, choice, a, e);
}
