#include "formats/folders/opening.h"

#include "base/path.h"
#include "formats/dcp/sharded.h"
#include "formats/folders/hub.h"
#include "formats/folders/placeholders.h"
#include "formats/folders/shards.h"
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
    TRY(format->open(out, o->path, choice, a, e));
    return placeholders_refuse(out, o->path, e);
}

/* Weights of a format that lie in a folder, beside its one file where that was taken: the file, its index, or
 * shards. NULL: none do. */
static const char *offered(const struct format *f, const char *dir, int taken, char *name, int size)
{
    int64_t n;
    if (!taken && format_has_entry(dir, f->model))
        return f->model;
    if (format_has_entry(dir, f->index))
        return f->index;
    return shards_find(dir, f->stem, f->endings[0], name, size, &n) ? name : NULL;
}

/* What else in the folder could be meant as well: an index or shards beside the one file that was taken, or
 * the same model in another format, which may be of another day. Which of them it was, is said. */
static err_t note_others(struct stored_list *list, const struct format *format, const char *dir,
                         const char *name, struct arena *a, struct err *e)
{
    char names[2][NAME_MAX + 1];
    const char *other = NULL, *more = "";
    int known = 0;
    for (const struct format *const *f = format_table; *f; f++) {
        int same = strcmp((*f)->name, format->name) == 0;
        if (!(*f)->model || !(*f)->index)
            continue;
        known |= same;
        if (same && strcmp(name, (*f)->model) != 0)
            continue;
        const char *found = offered(*f, dir, same, names[same], sizeof names[same]);
        if (!found || (other && !same))
            continue;
        other = found;
        more = found == (*f)->index ? " and its shards" : "";
    }
    if (!other || !known)
        return ERR_OK;
    list->note = arena_printf(a, e, "%s was taken, as transformers takes it, not %s%s beside it%s%s", name,
                              other, more, list->note ? "; " : "", list->note ? list->note : "");
    return list->note ? ERR_OK : e->code;
}

/* Shards that were consolidated may lie beside what was made of them. */
static err_t note_shards(struct stored_list *list, const char *dir, struct arena *a, struct err *e)
{
    char name[PATH_MAX];
    if (!sharded_find(dir, "sharded/", name, sizeof name))
        return ERR_OK;
    list->note = arena_printf(a, e, "the consolidated files were taken, not the shards in sharded/%s%s",
                              list->note ? "; " : "", list->note ? list->note : "");
    return list->note ? ERR_OK : e->code;
}

/* What the folder offers as `name` of a format. */
static err_t open_found(struct opening *o, struct stored_list *out, enum format_source source,
                        const char *name, const struct choice *choice, struct arena *a, struct err *e)
{
    if (source == FORMAT_NONE)
        return format_refuse_folder(o->path, a, e);
    if (source == FORMAT_INDEX) {
        TRY(index_open(out, o->format, o->path, choice, a, e));
        TRY(note_others(out, o->format, o->path, name, a, e));
        return note_shards(out, o->path, a, e);
    }
    char *file = path_join(a, o->path, name, e);
    TRY(file ? o->format->open(out, file, choice, a, e) : e->code);
    TRY(note_others(out, o->format, o->path, name, a, e));
    return o->format->model && strcmp(name, o->format->model) == 0 ? note_shards(out, o->path, a, e) : ERR_OK;
}

/* Beside the weights that were taken lie a trainer's own files: who wants its masters is told how. */
static err_t note_masters(struct stored_list *list, const struct format *format, const struct format *beside,
                          struct arena *a, struct err *e)
{
    list->note = arena_printf(
        a, e, "its %s weights; beside them lie files of %s, whose masters weights: masters takes%s%s",
        format->name, beside->name, list->note ? "; " : "", list->note ? list->note : "");
    return list->note ? ERR_OK : e->code;
}

/* Masters come from a trainer's own files where there are any. Else what is deployed is taken, but where that
 * has placeholders alone: then these files again. */
static err_t open_folder(struct opening *o, struct stored_list *out, const struct choice *choice,
                         struct arena *a, struct err *e)
{
    const struct format *beside;
    char name[PATH_MAX], other[PATH_MAX];
    enum format_source masters = format_look_masters(o->path, &beside, other, sizeof other);
    if (masters != FORMAT_NONE && choice->weights == CHOICE_WEIGHTS_MASTERS) {
        o->format = beside;
        return open_found(o, out, masters, other, choice, a, e);
    }
    enum format_source source = format_look(o->path, &o->format, name, sizeof name);
    TRY(open_found(o, out, source, name, choice, a, e));
    if (o->format->masters)
        return ERR_OK;
    if (placeholders_count(out) > 0 && masters != FORMAT_NONE) {
        o->format = beside;
        return open_found(o, out, masters, other, choice, a, e);
    }
    TRY(placeholders_refuse(out, o->path, e));
    return masters != FORMAT_NONE ? note_masters(out, o->format, beside, a, e) : ERR_OK;
}

err_t opening_list(struct opening *o, struct stored_list *out, const char *path, const struct choice *choice,
                   struct arena *a, struct err *e)
{
    struct stat st;
    *o = (struct opening){.path = path, .format = format_table[0]};
    if (stat(path, &st) != 0 && errno == ENOENT && lstat(path, &st) == 0)
        return err_set_part(e, "%s: no checkpoint: a link to what is not there", path);
    if (stat(path, &st) != 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_SYSTEM,
                       "%s: no checkpoint: %s", path, strerror(errno));
    TRY(hub_resolve(path, &o->path, &o->note, a, e));
    return S_ISDIR(st.st_mode) ? open_folder(o, out, choice, a, e) : open_file(o, out, choice, a, e);
}
