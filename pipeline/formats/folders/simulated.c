#include "formats/folders/simulated.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/format.h"
#include "formats/safetensors/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static err_t not_ours(const char *path, const char *why, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: %s; synth overwrites only what it has written itself: move it away, or give another place", path,
        why);
}

/* Refuses a safetensors file that does not say it is simulated. */
static err_t check_ours(const char *path, struct arena *a, struct err *e)
{
    struct safetensors file;
    struct err found;
    err_clear(&found);
    if (safetensors_open(&file, path, a, &found) != ERR_OK)
        return not_ours(path, "stands there and cannot be read as simulated weights", e);
    if (!safetensors_metadata(&file, "simulated"))
        return not_ours(path, "holds tensors that are not marked as simulated", e);
    return ERR_OK;
}

/* Does the folder's run.json say that its checkpoint is simulated? */
static int run_is_simulated(const char *path, struct arena *a)
{
    struct err ignored;
    err_clear(&ignored);
    char *text;
    int64_t n;
    return file_read(a, path, 1 << 20, &text, &n, &ignored) == ERR_OK &&
           strstr(text, "\"simulated\": true") != NULL;
}

/* Looks at one entry of the checkpoint's folder: refuses it if it is not ours; tells whether it is what an
 * earlier run left in other shards. */
static err_t check_entry(const struct simulated_place *p, const char *path, int ours, int *stale,
                         struct arena *a, struct err *e)
{
    const char *name = path_last(path);
    int is_index = strcmp(name, "model.safetensors.index.json") == 0;
    const struct format *claims = format_claiming(name);
    *stale = is_index && p->nshards == 1;
    if (text_ends_with(name, ".safetensors")) {
        TRY(check_ours(path, a, e));
        *stale = strncmp(name, "model", 5) == 0;
        for (int k = 0; k < p->nshards; k++)
            *stale = *stale && strcmp(p->shards[k], name) != 0;
    } else if ((claims && strcmp(claims->name, "safetensors") != 0) || text_ends_with(name, ".gguf")) {
        return not_ours(path, "is a model file of another origin", e);
    } else if (!ours && (is_index || strcmp(name, "config.json") == 0 || strcmp(name, "run.json") == 0)) {
        return not_ours(path, "belongs to a checkpoint that is not marked as simulated", e);
    }
    return ERR_OK;
}

/* Once over the folder: looks at all entries, or removes the stale ones (only after all have been looked at).
 */
static err_t walk_folder(const struct simulated_place *p, int ours, int remove_stale, struct arena *a,
                         struct err *e)
{
    DIR *dir = opendir(p->folder);
    if (!dir)
        return errno == ENOENT
                   ? ERR_OK
                   : err_set(e, ERR_SYSTEM, "%s: cannot be opened: %s", p->folder, strerror(errno));
    const struct dirent *entry;
    while (e->code == ERR_OK && (entry = readdir(dir))) {
        int stale = 0;
        char *path = path_join(a, p->folder, entry->d_name, e);
        if (path && check_entry(p, path, ours, &stale, a, e) == ERR_OK && stale && remove_stale &&
            unlink(path) != 0)
            err_set(e, ERR_SYSTEM, "%s: cannot be removed: %s", path, strerror(errno));
    }
    closedir(dir);
    return e->code;
}

err_t simulated_clear(const struct simulated_place *p, struct arena *a, struct err *e)
{
    struct stat st;
    if (p->logits && stat(p->logits, &st) == 0)
        TRY(check_ours(p->logits, a, e));
    if (text_ends_with(p->folder, ".safetensors"))
        return err_set(e, ERR_CONFIG, "%s: synth writes a checkpoint as a folder; name one", p->folder);
    char *run = path_join(a, p->folder, "run.json", e);
    if (!run)
        return e->code;
    int ours = run_is_simulated(run, a);
    TRY(walk_folder(p, ours, 0, a, e));
    return walk_folder(p, ours, 1, a, e);
}
