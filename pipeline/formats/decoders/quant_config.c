#include "formats/decoders/quant_config.h"

#include <stdio.h>
#include <stdlib.h>

enum { LARGEST = 1 << 24, METHOD_BYTES = 60 };

static const struct json_item *map_in(const struct json_item *map, const char *key)
{
    const struct json_item *v = json_item_kind(map) == JSON_KIND_MAP ? json_item_get(map, key) : NULL;
    return json_item_kind(v) == JSON_KIND_MAP ? v : NULL;
}

static const struct json_item *find(const struct json_item *root)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct json_item *v = map_in(root, keys[i]);
        v = v ? v : map_in(map_in(root, "text_config"), keys[i]);
        if (v)
            return v;
    }
    return NULL;
}

/* A method's name goes into messages: letters, digits and what joins them. */
static int is_name(const char *text)
{
    int n = 0;
    for (; text[n]; n++)
        if (n == METHOD_BYTES ||
            !((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') ||
              (text[n] >= '0' && text[n] <= '9') || text[n] == '-' || text[n] == '_' || text[n] == '.'))
            return 0;
    return n > 0;
}

static err_t refuse(struct quant_config *q, const char *key, const struct json_item *found, struct arena *a,
                    struct err *e)
{
    if (!q->problem)
        q->problem = arena_printf(a, e, "%s of config.json: expected a block of a weight, found %s", key,
                                  json_item_kind_text(found));
    return e->code;
}

static int is_size(int64_t n)
{
    return n > 0 && n <= LARGEST;
}

static err_t add(struct quant_config *q, const char *key, struct quant_block b, const struct json_item *found,
                 struct arena *a, struct err *e)
{
    if (!is_size(b.rows) || !is_size(b.cols))
        return refuse(q, key, found, a, e);
    for (int i = 0; i < q->nblocks; i++)
        if (q->blocks[i].rows == b.rows && q->blocks[i].cols == b.cols)
            return ERR_OK;
    if (q->nblocks < QUANT_BLOCKS)
        q->blocks[q->nblocks++] = b;
    else if (!q->problem)
        q->problem = arena_printf(a, e, "config.json names more than %d kinds of blocks", QUANT_BLOCKS);
    return e->code;
}

/* [128, 128], or "128x128" as it was written at first. */
static err_t take_block(struct quant_config *q, const char *key, const struct json_item *v, struct arena *a,
                        struct err *e)
{
    struct quant_block b = {0, 0};
    if (json_item_kind(v) == JSON_KIND_NULL)
        return ERR_OK;
    if (json_item_kind(v) == JSON_KIND_LIST && json_item_count(v) == 2) {
        const struct json_item *rows = json_item_at(v, 0), *cols = json_item_at(v, 1);
        if (json_item_kind(rows) == JSON_KIND_INT && json_item_kind(cols) == JSON_KIND_INT)
            b = (struct quant_block){json_item_int(rows), json_item_int(cols)};
    } else if (json_item_kind(v) == JSON_KIND_TEXT) {
        char *end;
        b.rows = strtoll(json_item_text(v), &end, 10);
        if (*end == 'x')
            b.cols = strtoll(end + 1, &end, 10);
        if (*end != '\0')
            b.rows = 0;
    }
    return add(q, key, b, v, a, e);
}

static err_t take_group(struct quant_config *q, const struct json_item *weights, struct arena *a,
                        struct err *e)
{
    const struct json_item *size = json_item_get(weights, "group_size");
    TRY(take_block(q, "block_structure", json_item_get(weights, "block_structure"), a, e));
    /* -1 stands for none */
    if (json_item_kind(size) == JSON_KIND_INT && json_item_int(size) > 0)
        return add(q, "group_size", (struct quant_block){1, json_item_int(size)}, size, a, e);
    return ERR_OK;
}

err_t quant_config_take(struct quant_config *q, const struct json_item *root, struct arena *a, struct err *e)
{
    const struct json_item *config = find(root), *groups, *group;
    const char *key;
    *q = (struct quant_config){0};
    if (!config)
        return ERR_OK;
    const struct json_item *method = json_item_get(config, "quant_method");
    if (json_item_kind(method) == JSON_KIND_TEXT && is_name(json_item_text(method))) {
        q->method = arena_strdup(a, json_item_text(method), e);
        if (!q->method)
            return e->code;
    }
    TRY(take_block(q, "weight_block_size", json_item_get(config, "weight_block_size"), a, e));
    groups = map_in(config, "config_groups");
    for (void *at = groups ? json_item_next(groups, NULL, &key, &group) : NULL; at;
         at = json_item_next(groups, at, &key, &group)) {
        const struct json_item *weights = map_in(group, "weights");
        if (weights)
            TRY(take_group(q, weights, a, e));
    }
    return ERR_OK;
}
