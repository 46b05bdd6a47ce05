#include "formats/torch/state_dict.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 61, MAX_BESIDE = 4, MAX_DEPTH = 2 };

/* ---- the map ---- */

/* A map of texts, or an object of a class that is one. */
static int is_map(const struct pickle *p, const struct pickle_value *v)
{
    const struct pickle_value *key = NULL, *value;
    if (!v || v->kind == PICKLE_DICT)
        return v != NULL;
    return (v->kind == PICKLE_CALL || v->kind == PICKLE_OBJECT) && pickle_next(p, v, NULL, &key, &value) &&
           key;
}

/* What a torch_reader's file may hold for a tensor: one, or a part of one. */
static int holds_tensors(const struct pickle *p, const struct pickle_value *map)
{
    const struct pickle_value *key = NULL, *value = NULL;
    for (const struct pickle_cell *at = pickle_next(p, map, NULL, &key, &value); at;
         at = pickle_next(p, map, at, &key, &value))
        if (key && rebuild_is_tensor(p, value))
            return 1;
    return 0;
}

static const char *const nested[] = {"state_dict", "model", "model_state_dict", "module"};
enum { NNESTED = sizeof nested / sizeof *nested };

/* The map under one of the names: that which holds tensors, else the first. Two with tensors are two models.
 */
static err_t step_down(const struct torch_reader *r, const struct pickle_value *map,
                       const struct pickle_value **found, const char **name, struct err *e)
{
    const struct pickle *p = &r->pickle;
    int with_tensors = 0;
    *found = NULL;
    for (int k = 0; k < NNESTED; k++) {
        const struct pickle_value *v = pickle_get(p, map, nested[k]);
        int has = is_map(p, v) && holds_tensors(p, v);
        if (!is_map(p, v) || (*found && !has))
            continue;
        if (has && with_tensors)
            return err_set(e, ERR_DATA,
                           "%s: it holds tensors under \"%s\" and under \"%s\": expected one state dict; "
                           "write one with: python3 -c \"import torch; torch.save(torch.load('OLD', "
                           "map_location='cpu')['%s'], 'NEW')\"",
                           r->path, *name, nested[k], *name);
        with_tensors |= has;
        *found = v;
        *name = nested[k];
    }
    return ERR_OK;
}

static err_t refuse_root(const struct torch_reader *r, struct err *e)
{
    const struct pickle *p = &r->pickle;
    char told[PICKLE_TOLD];
    int is_object = p->root->kind == PICKLE_CALL || p->root->kind == PICKLE_OBJECT;
    int is_tensor = rebuild_is_tensor(p, p->root);
    return err_set(e, ERR_DATA,
                   "%s: no state dict: expected a map of names to tensors, found %s (byte %d of data.pkl)%s",
                   r->path, is_tensor ? "a tensor" : pickle_told(p, p->root, told), (int)p->root->at,
                   is_object && !is_tensor ? "; where that is a model, save its state_dict() instead" : "");
}

/* "model": what of the file was taken, and some of what was not. */
static err_t note_beside(struct torch_reader *r, const char *names, const struct pickle_value *taken,
                         const char **note, struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *key = NULL, *value = NULL;
    struct text beside = {.arena = r->scratch};
    int n = 0;
    char shown[SHOWN];
    for (const struct pickle_cell *at = pickle_next(p, p->root, NULL, &key, &value); at;
         at = pickle_next(p, p->root, at, &key, &value)) {
        if (value == taken || !key || key->kind != PICKLE_TEXT)
            continue;
        if (n++ < MAX_BESIDE)
            TRY(text_add(&beside, e, "%s%s", n > 1 ? ", " : "",
                         pickle_shown(key->text, key->n, shown, sizeof shown)));
    }
    *note = n == 0 ? arena_printf(r->keep, e, "The tensors are those of its map %s.", names)
                   : arena_printf(r->keep, e,
                                  "The tensors are those of its map %s; %s%s beside it %s left alone.", names,
                                  beside.text, n > MAX_BESIDE ? " and more" : "", n > 1 ? "are" : "is");
    return *note ? ERR_OK : e->code;
}

err_t state_dict_find(struct torch_reader *r, const struct pickle_value **map, const char **note,
                      struct err *e)
{
    const struct pickle *p = &r->pickle;
    const struct pickle_value *down = NULL, *first = NULL;
    const char *name = NULL, *names = NULL;
    *note = NULL;
    *map = p->root;
    if (!is_map(p, p->root))
        return refuse_root(r, e);
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        if (depth > 0 && holds_tensors(p, *map))
            break;
        TRY(step_down(r, *map, &down, &name, e));
        if (!down)
            break;
        names = names ? arena_printf(r->scratch, e, "%s -> %s", names, name) : name;
        if (!names)
            return e->code;
        first = first ? first : down;
        *map = down;
    }
    return names ? note_beside(r, names, first, note, e) : ERR_OK;
}

int state_dict_passes_over(const struct pickle *p, const struct pickle_value *key,
                           const struct pickle_value *value)
{
    static const char end[] = "_extra_state";
    int64_t n = (int64_t)sizeof end - 1;
    return key && key->kind == PICKLE_TEXT && key->n >= n &&
           memcmp(key->text + key->n - n, end, (size_t)n) == 0 && !rebuild_is_tensor(p, value);
}

/* ---- names ---- */

err_t state_dict_note(struct stored_list *list, const char *sentence, struct arena *a, struct err *e)
{
    list->note =
        list->note ? arena_printf(a, e, "%s %s", list->note, sentence) : arena_strdup(a, sentence, e);
    return list->note ? ERR_OK : e->code;
}

static int begins_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 && name[strlen(prefix)];
}

/* A copy of the name without the word, wherever it stands as one; the name itself where it does not. */
static const char *without(const char *name, const char *word, struct arena *a, struct err *e)
{
    size_t n = strlen(word);
    const char *at = strstr(name, word);
    while (at && ((at > name && at[-1] != '.') || !at[n]))
        at = strstr(at + 1, word);
    if (!at)
        return name;
    char *copy = arena_strdup(a, name, e), *to = copy ? copy + (at - name) : NULL;
    for (const char *from = at; copy && *from;) {
        if ((from == name || from[-1] == '.') && strncmp(from, word, n) == 0 && from[n])
            from += n;
        else
            *to++ = *from++;
    }
    if (copy)
        *to = '\0';
    return copy;
}

static err_t rename_to(struct stored_tensor *t, const char *name, struct arena *a, struct err *e)
{
    char *module;
    int room = (int)strlen(name) + 1; /* names are short: torch_reader_name */
    TRY(arena_array(a, "torchfile.names", room, &module, e));
    tensor_module(name, module, room);
    t->name = name;
    t->module = module;
    t->layer = tensor_layer(name);
    return ERR_OK;
}

/* torch.compile's word is no module's own: it goes wherever it stands. */
static err_t take_compiled(struct stored_list *list, int *taken, struct arena *a, struct err *e)
{
    for (int64_t i = 0; i < list->ntensors; i++) {
        const char *name = without(list->tensors[i].name, "_orig_mod.", a, e);
        if (!name)
            return e->code;
        if (name == list->tensors[i].name)
            continue;
        TRY(rename_to(&list->tensors[i], name, a, e));
        *taken = 1;
    }
    return ERR_OK;
}

/* "module." may be a model's own: it goes where no name is without it. */
static err_t take_parallel(struct stored_list *list, int *taken, struct arena *a, struct err *e)
{
    static const char prefix[] = "module.";
    for (int64_t i = 0; i < list->ntensors; i++)
        if (!begins_with(list->tensors[i].name, prefix))
            return ERR_OK;
    for (int64_t i = 0; i < list->ntensors; i++)
        TRY(rename_to(&list->tensors[i], list->tensors[i].name + sizeof prefix - 1, a, e));
    *taken = list->ntensors > 0;
    return ERR_OK;
}

err_t state_dict_unwrap(struct stored_list *list, const char *path, struct arena *a, struct err *e)
{
    int compiled = 0, parallel = 0;
    TRY(take_compiled(list, &compiled, a, e));
    TRY(take_parallel(list, &parallel, a, e));
    if (compiled)
        TRY(state_dict_note(list, "Names are without torch.compile's \"_orig_mod.\".", a, e));
    if (parallel)
        TRY(state_dict_note(list, "Names are without the \"module.\" that all begin with.", a, e));
    stored_sort(list);
    for (int64_t i = 1; i < list->ntensors; i++)
        if (strcmp(list->tensors[i - 1].name, list->tensors[i].name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor %s stands in the state dict twice", path,
                           list->tensors[i].name);
    return ERR_OK;
}
