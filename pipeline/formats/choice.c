#include "formats/choice.h"

#include "base/text.h"

#include <string.h>

const char *const choice_weights_words[] = {"default", "masters", "model", NULL};
const char *const choice_adapter_words[] = {"default", "merged", "exact", NULL};
const char *const choice_merge_words[] = {"default", "safe", NULL};

int choice_same(const struct choice *a, const struct choice *b)
{
    const char *x = a->base ? a->base : "", *y = b->base ? b->base : "";
    return a->weights == b->weights && a->adapter == b->adapter && a->merge == b->merge && strcmp(x, y) == 0;
}

struct choice choice_without(struct choice c, int ignored)
{
    if (ignored & CHOICE_OF_WEIGHTS)
        c.weights = CHOICE_WEIGHTS_DEFAULT;
    if (ignored & CHOICE_OF_ADAPTER) {
        c.adapter = CHOICE_ADAPTER_DEFAULT;
        c.merge = CHOICE_MERGE_DEFAULT;
    }
    if (ignored & CHOICE_OF_BASE)
        c.base = NULL;
    return c;
}

/* ", KEY: VALUE" of what is not left to the default. */
static void add(struct text *t, const char *key, const char *value, int chosen, struct err *e)
{
    if (chosen)
        text_add(t, e, "%s%s: %s", t->text ? ", " : "", key, value);
}

const char *choice_name(const char *path, const struct choice *c, struct arena *a, struct err *e)
{
    struct text t = {.arena = a};
    if (!c)
        return path;
    add(&t, "weights", choice_weights_words[c->weights], c->weights != CHOICE_WEIGHTS_DEFAULT, e);
    add(&t, "adapter", choice_adapter_words[c->adapter], c->adapter != CHOICE_ADAPTER_DEFAULT, e);
    add(&t, "merge", choice_merge_words[c->merge], c->merge != CHOICE_MERGE_DEFAULT, e);
    add(&t, "base", c->base, c->base != NULL, e);
    if (e->code != ERR_OK)
        return NULL;
    return t.text ? arena_printf(a, e, "%s (%s)", path, t.text) : path;
}
