#include "formats/lora/lora.h"

#include "base/path.h"
#include "base/text.h"
#include "formats/decoder.h"
#include "formats/folders/opening.h"
#include "formats/lora/graft.h"
#include "formats/lora/target.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const char CONFIG[] = "adapter_config.json";
static const char *const weights[] = {"adapter_model.safetensors", "adapter_model.bin", NULL};

/* ---- finding ---- */

/* Is it a checkpoint of a run, which is named by itself, rather than an adapter kept in a model's folder? */
static int is_step(const char *name)
{
    return strncmp(name, "checkpoint-", 11) == 0 || strncmp(name, "global_step", 11) == 0 || name[0] == '.';
}

static int find(const char *dir, char *name, int size)
{
    snprintf(name, (size_t)size, "%s", CONFIG);
    return format_has_entry(dir, CONFIG);
}

/* The adapter_config.json of the only folder below that has any: an adapter that is not called default is
 * written into a folder of its name. */
static int find_below(const char *dir, char *name, int size)
{
    char path[PATH_MAX];
    int found = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        if (is_step(entry->d_name) ||
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) >= (int)sizeof path ||
            !format_has_entry(path, CONFIG))
            continue;
        found += snprintf(name, (size_t)size, "%s/%s", entry->d_name, CONFIG) < size ? 1 : 2;
    }
    if (d)
        closedir(d);
    return found == 1;
}

/* Where the config of an adapter may stand that the model at `path` carries. NULL where there is none. */
static char *config_beside(const char *path, struct arena *a, struct err *e)
{
    static const char *const names[] = {"adapter_config.json", "lora_adapter/adapter_config.json",
                                        "lora_train_meta.json", NULL};
    struct stat st;
    int is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    const char *folder = is_folder ? path : path_dir(a, path, e);
    for (const char *const *p = names; *p && folder; p++) {
        char *file = path_join(a, folder, *p, e);
        if (!file || stat(file, &st) == 0)
            return file;
    }
    return NULL;
}

/* ---- parts ---- */

/* The tensors of a list as parts, and the name of their adapter. *several: the first of another name than
 * *adapter, or NULL. */
static err_t read_keys(struct graft_part *parts, const struct stored_list *list, const char **adapter,
                       const char **several, struct arena *a, struct err *e)
{
    *adapter = *several = NULL;
    for (int64_t i = 0; i < list->ntensors; i++) {
        struct lora_key *k = &parts[i].key;
        parts[i].t = &list->tensors[i];
        TRY(lora_key_read(k, list->tensors[i].name, a, e));
        if (k->kind == LORA_WHOLE || k->kind == LORA_NOTHING || k->kind == LORA_UNKNOWN)
            continue;
        if (!*adapter)
            *adapter = k->adapter;
        else if (!*several && strcmp(*adapter, k->adapter) != 0)
            *several = k->adapter;
    }
    return ERR_OK;
}

/* Does a list hold the weights that its adapter changes? Then some tensor that is no bias belongs to a module
 * that has factors; of an embedding, which brings its weight in any case, some other matrix does it. */
static int holds_weights(const struct graft_part *parts, int64_t n)
{
    int64_t whole = 0, factors = 0;
    const char *linear = NULL;
    for (int64_t i = 0; i < n; i++) {
        factors += parts[i].key.kind == LORA_A || parts[i].key.kind == LORA_EMBEDDING_A;
        linear = parts[i].key.kind == LORA_A ? parts[i].key.module : linear;
        whole += parts[i].key.kind == LORA_WHOLE;
    }
    if (!linear)
        return whole > 2 * factors;
    for (int64_t i = 0; i < n; i++) {
        const char *name = parts[i].key.module;
        const size_t length = strlen(linear);
        if (parts[i].key.kind == LORA_WHOLE && strncmp(name, linear, length) == 0 && name[length] == '.' &&
            !text_ends_with(name, ".bias"))
            return 1;
    }
    return 0;
}

/* ---- what is said ---- */

/* The last word of a path or of a name on a hub. */
static const char *last_word(const char *text)
{
    const char *slash = strrchr(text, '/');
    return slash && slash[1] != '\0' ? slash + 1 : text;
}

/* base: of an adapter alone, its base's path; NULL: it stands in its model. */
static err_t say(struct stored_list *list, const struct graft *g, const char *base, const char *before,
                 struct arena *a, struct err *e)
{
    struct text t = {.arena = a};
    const struct adapter *x = g->adapter;
    if (before)
        TRY(text_add(&t, e, "%s ", before));
    if (base)
        TRY(text_add(&t, e, "The adapter %s on its base %s: ", g->path, base));
    else
        TRY(text_add(&t, e, "An adapter stands unmerged in %s: ", g->path));
    if (g->choice->adapter == CHOICE_ADAPTER_EXACT)
        TRY(text_add(
            &t, e,
            "the update of %lld tensors is the adapter's own s B A in float32, and compared as it is, from "
            "zero on, rather than as the difference of rounded weights",
            (long long)g->nmerged));
    else
        TRY(text_add(
            &t, e, "%lld tensors are W + s B A as PEFT merges them %s", (long long)g->nmerged,
            g->choice->merge == CHOICE_MERGE_SAFE
                ? "safely (s B A rounded to the weights' type, added, rounded)"
                : "by default (added in float32, rounded once; embeddings and experts: s B A is rounded "
                  "first)"));
    if (g->nreplaced > 0)
        TRY(text_add(&t, e, "; %lld tensors are the adapter's own or have rows of it",
                     (long long)g->nreplaced));
    if (!x->path)
        TRY(text_add(
            &t, e,
            ". No adapter_config.json was found beside it: s is 8 / r, as PEFT's default alpha has it; put the "
            "file there if it was trained with another"));
    if (base && x->base && strcasecmp(last_word(x->base), last_word(base)) != 0)
        TRY(text_add(&t, e, ". Its config names %.200s as its base", x->base));
    TRY(text_add(&t, e, "."));
    list->note = t.text;
    list->adapted = 1;
    return ERR_OK;
}

/* ---- an adapter on its base ---- */

static err_t read_config(struct adapter *x, const char *path, struct arena *a, struct err *e)
{
    if (path)
        return adapter_read(x, path, a, e);
    adapter_default(x);
    return ERR_OK;
}

/* A list with room for more tensors. */
static err_t with_room(struct stored_list *list, int64_t more, struct arena *a, struct err *e)
{
    struct stored_tensor *v;
    TRY(arena_array(a, "checkpoint.tensors", list->ntensors + more, &v, e));
    if (list->ntensors > 0)
        memcpy(v, list->tensors, (size_t)list->ntensors * sizeof *v);
    list->tensors = v;
    return ERR_OK;
}

/* Opens the base, with the files of the adapter's parts behind its own. */
static err_t open_base(struct stored_list *out, const struct stored_list *adapter,
                       const struct choice *choice, struct arena *a, struct err *e)
{
    const struct choice plain = {.weights = choice->weights};
    struct opening o;
    if (adapter->ntensors == 0)
        return err_set(e, ERR_DATA,
                       "%s: an adapter without a tensor: expected lora_A and lora_B of each module that it "
                       "changes, found none; save it again",
                       adapter->nfiles > 0 ? adapter->files[0].path : "?");
    TRY(opening_list(&o, out, choice->base, &plain, a, e));
    TRY(lora_complete(out, o.path, &plain, a, e));
    const int before = (int)out->nfiles;
    for (int64_t i = 0; i < adapter->nfiles; i++) {
        const struct stored_file *f = &adapter->files[i];
        TRY(stored_add_file(out, f->path, f->size_bytes, f->mtime_ns, f->header_hash, a, e));
    }
    for (int64_t i = 0; i < adapter->ntensors; i++) {
        struct stored_tensor *t = &adapter->tensors[i];
        t->file += t->file >= 0 ? before : 0;
        for (int64_t k = 0; t->cut && k < t->cut->n; k++)
            t->cut->v[k].file += before;
    }
    out->config_dir = out->config_dir ? out->config_dir : o.path;
    TRY(with_room(out, adapter->ntensors, a, e));
    stored_sort(out);
    return ERR_OK;
}

static err_t refuse_alone(const char *path, struct err *e)
{
    return err_set(
        e, ERR_DATA,
        "%s: an adapter is a model on its base alone: name it as the tuned side, and as its base the model "
        "that it was trained on",
        path);
}

/* list: the parts of an adapter, which becomes the model. */
static err_t put_on_base(struct stored_list *list, const struct graft_part *parts, const char *path,
                         const char *config_path, const struct choice *choice, struct arena *a, struct err *e)
{
    struct adapter x;
    struct stored_list model = {0};
    struct model_config config;
    if (!config_path)
        return err_set(e, ERR_DATA,
                       "%s: the parts of an adapter, and no %s beside them: its r and alpha are not known",
                       path, CONFIG);
    TRY(adapter_read(&x, config_path, a, e));
    if (!choice->base)
        return refuse_alone(path, e);
    TRY(open_base(&model, list, choice, a, e));
    TRY(model_config_read(&config, model.config_dir, a, e));
    struct graft g = {.path = path, .adapter = &x, .choice = choice, .list = &model};
    g.nparts = list->ntensors;
    g.parts = parts;
    TRY(graft_apply(&g, &config, a, e));
    const char *before = model.note;
    *list = model;
    return say(list, &g, choice->base, before, a, e);
}

/* ---- a model with an adapter in it ---- */

/* A state dict names a head that is the embedding a second time, which a saved model does not: what is added
 * to either is added to both. */
static void drop_head(struct stored_list *list)
{
    static const char *const heads[] = {"lm_head.weight", "embed_out.weight", NULL};
    const struct target_base base = {list->tensors, list->ntensors};
    for (const char *const *head = heads; *head; head++) {
        const struct stored_tensor *found = stored_find(list->tensors, list->ntensors, *head);
        if (!found || target_find_tied(&base, *head) < 0)
            continue;
        struct stored_tensor *t = &list->tensors[found - list->tensors];
        list->ntensors--;
        memmove(t, t + 1, (size_t)(list->ntensors - (t - list->tensors)) * sizeof *t);
        return;
    }
}

/* list: the model's weights and the parts of an adapter. */
static err_t put_together(struct stored_list *list, struct graft_part *parts, const char *path,
                          const struct choice *choice, struct arena *a, struct err *e)
{
    struct adapter x;
    struct stored_list model = *list;
    struct model_config config;
    int64_t nparts = 0;
    TRY(read_config(&x, config_beside(path, a, e), a, e));
    TRY(e->code);
    model.ntensors = 0;
    TRY(arena_array(a, "checkpoint.tensors", list->ntensors, &model.tensors, e));
    for (int64_t i = 0; i < list->ntensors; i++) {
        if (parts[i].key.kind == LORA_WHOLE) {
            struct stored_tensor *t = &model.tensors[model.ntensors++];
            *t = list->tensors[i];
            t->name = parts[i].key.module;
            if (t->decoding)
                t->decoding->of = t;
        } else if (parts[i].key.kind != LORA_NOTHING) {
            parts[nparts++] = parts[i];
        }
    }
    stored_sort(&model);
    TRY(model_config_read(&config, model.config_dir ? model.config_dir : path, a, e));
    if (config.tied == MODEL_TIED_YES)
        drop_head(&model);
    struct graft g = {
        .path = path, .adapter = &x, .choice = choice, .nparts = nparts, .parts = parts, .list = &model};
    TRY(graft_apply(&g, &config, a, e));
    const char *before = model.note;
    *list = model;
    return say(list, &g, NULL, before, a, e);
}

static err_t add_note(struct stored_list *list, const char *path, const char *what, struct arena *a,
                      struct err *e)
{
    list->note =
        arena_printf(a, e, "%s%s%s: %s", list->note ? list->note : "", list->note ? " " : "", path, what);
    return e->code;
}

/* Is a file of an adapter's weights one of the list's? */
static int is_in(const struct stored_list *list)
{
    for (int64_t i = 0; i < list->nfiles; i++)
        for (const char *const *p = weights; *p; p++)
            if (strcmp(path_last(list->files[i].path), *p) == 0)
                return 1;
    return 0;
}

/* Weights beside an adapter that is not in them. */
static err_t look_beside(struct stored_list *list, const char *path, struct arena *a, struct err *e)
{
    char name[PATH_MAX];
    struct stat st;
    if (is_in(list))
        return ERR_OK;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode) ||
        (!find(path, name, sizeof name) && !find_below(path, name, sizeof name)))
        return ERR_OK;
    char *what =
        arena_printf(a, e,
                     "an adapter lies beside the weights (%.500s); they are taken as they are, and if it was "
                     "not merged into them it is not in what is compared.",
                     name);
    return what ? add_note(list, path, what, a, e) : e->code;
}

err_t lora_complete(struct stored_list *list, const char *path, const struct choice *choice, struct arena *a,
                    struct err *e)
{
    struct graft_part *parts;
    const char *adapter, *several;
    int64_t factors = 0;
    for (int64_t i = 0; i < list->ntensors; i++)
        factors += lora_key_is_factor(list->tensors[i].name);
    if (factors == 0)
        return list->adapted ? ERR_OK : look_beside(list, path, a, e);
    TRY(arena_array(a, "adapter.parts", list->ntensors, &parts, e));
    TRY(read_keys(parts, list, &adapter, &several, a, e));
    if (several && strcmp(several, "default") != 0 && strcmp(adapter, "default") != 0)
        return add_note(list, path,
                        "adapters of names of their own stand in the model, and are compared as they are.", a,
                        e);
    if (several)
        return err_set(
            e, ERR_DATA,
            "%s: two adapters in one file, %.60s and %.60s: which one is in use is not known; save the one "
            "that is meant (save_pretrained with selected_adapters)",
            path, adapter, several);
    if (holds_weights(parts, list->ntensors))
        return put_together(list, parts, path, choice, a, e);
    return put_on_base(list, parts, path, config_beside(path, a, e), choice, a, e);
}

/* ---- as a format ---- */

/* The weights of the adapter whose config lies in a folder. NULL where there are none. */
static char *weights_of(const char *folder, struct arena *a, struct err *e)
{
    for (const char *const *p = weights; *p; p++)
        if (format_has_entry(folder, *p))
            return path_join(a, folder, *p, e);
    return NULL;
}

/* path: of adapter_config.json or of the weights; the other lies beside it. */
static err_t open_adapter(struct stored_list *out, const char *path, const struct choice *choice,
                          struct arena *a, struct err *e)
{
    const int is_config = strcmp(path_last(path), CONFIG) == 0;
    const char *folder = path_dir(a, path, e), *adapter, *several;
    const char *config_path = folder ? path_join(a, folder, CONFIG, e) : NULL;
    struct graft_part *parts;
    struct adapter x;
    if (!config_path)
        return e->code;
    if (!format_has_entry(folder, CONFIG))
        return err_set(e, ERR_DATA,
                       "%s: the parts of an adapter, and no %s beside them: its r and alpha are not known",
                       path, CONFIG);
    TRY(adapter_read(&x, config_path, a, e)); /* what is refused is refused before the weights */
    const char *file = is_config ? weights_of(folder, a, e) : path;
    TRY(e->code);
    if (!file)
        return err_set_part(e, "%s: the adapter has no weights: expected %s or %s beside its %s", folder,
                            weights[0], weights[1], CONFIG);
    TRY(format_named(text_ends_with(file, ".bin") ? "torch" : "safetensors")->open(out, file, choice, a, e));
    TRY(arena_array(a, "adapter.parts", out->ntensors, &parts, e));
    TRY(read_keys(parts, out, &adapter, &several, a, e));
    if (several)
        return err_set(e, ERR_DATA, "%s: two adapters in one file, %.60s and %.60s", file, adapter, several);
    return put_on_base(out, parts, folder, config_path, choice, a, e);
}

const struct format format_lora = {
    .name = "lora",
    .names = weights,
    .finds = "an adapter's adapter_config.json",
    .find = find,
    .open = open_adapter,
};

const struct format format_lora_below = {
    .name = "lora",
    .find = find_below,
    .open = open_adapter,
};
