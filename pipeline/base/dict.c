#include "base/dict.h"

#include "base/hash.h"

#include <string.h>

enum { FIRST_SLOTS = 16 };

/* The slot of this key, or the free one where it belongs; there is always a free one. */
static struct dict_slot *slot_of(const struct dict *d, const char *key, uint64_t hash)
{
    uint64_t mask = (uint64_t)d->cap - 1, at = hash & mask;
    while (d->slots[at].key && (d->slots[at].hash != hash || strcmp(d->slots[at].key, key) != 0))
        at = (at + 1) & mask;
    return &d->slots[at];
}

static err_t widen(struct dict *d, struct err *e)
{
    struct dict wider = {.arena = d->arena, .n = d->n, .cap = d->cap ? 2 * d->cap : FIRST_SLOTS};
    TRY(arena_array(d->arena, "dict", wider.cap, &wider.slots, e));
    for (int64_t i = 0; i < d->cap; i++)
        if (d->slots[i].key)
            *slot_of(&wider, d->slots[i].key, d->slots[i].hash) = d->slots[i];
    arena_drop(d->arena, d->slots);
    *d = wider;
    return ERR_OK;
}

err_t dict_put(struct dict *d, const char *key, int64_t value, struct err *e)
{
    uint64_t hash = hash_bytes(key, strlen(key));
    if (2 * (d->n + 1) > d->cap)
        TRY(widen(d, e));
    struct dict_slot *slot = slot_of(d, key, hash);
    d->n += !slot->key;
    *slot = (struct dict_slot){.key = key, .hash = hash, .value = value};
    return ERR_OK;
}

int64_t dict_find(const struct dict *d, const char *key)
{
    if (d->n == 0)
        return -1;
    const struct dict_slot *slot = slot_of(d, key, hash_bytes(key, strlen(key)));
    return slot->key ? slot->value : -1;
}
