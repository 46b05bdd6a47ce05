#include "formats/model_config.h"

#include "formats/json.h"
#include "base/path.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BYTES = 4 << 20, MAX_LAYERS = 1000000, MAX_HEADS = 1000000, MAX_TYPE = 60 };

static const struct json_item *find(const struct json_item *root, const char *key)
{
    if (json_item_kind(root) != JSON_KIND_MAP)
        return NULL;
    const struct json_item *v = json_item_get(root, key), *part = json_item_get(root, "text_config");
    return v || json_item_kind(part) != JSON_KIND_MAP ? v : json_item_get(part, key);
}

/* A count that a model can have; 0 where there is none. */
static int64_t count_of(const struct json_item *root, const char *key, int64_t most)
{
    const struct json_item *v = find(root, key);
    int64_t n = json_item_kind(v) == JSON_KIND_INT ? json_item_int(v) : 0;
    return n > 0 && n <= most ? n : 0;
}

/* Of a text model within another the inner type: it is the inner layers that are compared. */
static err_t take_attention(struct model_config *m, const struct json_item *root, struct arena *a,
                            struct err *e)
{
    const struct json_item *part = json_item_get(root, "text_config"),
                           *type = json_item_kind(part) == JSON_KIND_MAP ? json_item_get(part, "model_type")
                                                                         : NULL;
    if (json_item_kind(type) != JSON_KIND_TEXT)
        type = json_item_get(root, "model_type");
    m->heads = count_of(root, "num_attention_heads", MAX_HEADS);
    m->kv_heads = count_of(root, "num_key_value_heads", MAX_HEADS);
    if (json_item_kind(type) != JSON_KIND_TEXT || strlen(json_item_text(type)) > MAX_TYPE)
        return ERR_OK;
    m->type = arena_strdup(a, json_item_text(type), e);
    return e->code;
}

static err_t take(struct model_config *m, const struct json_item *root, struct arena *a, struct err *e)
{
    const struct json_item *layers = find(root, "num_hidden_layers"),
                           *tied = find(root, "tie_word_embeddings");
    if (json_item_kind(root) != JSON_KIND_MAP)
        m->problem =
            arena_printf(a, e, "%s: expected a JSON map, found %s", m->path, json_item_kind_text(root));
    else
        TRY(quant_config_take(&m->quant, root, a, e));
    const struct json_item *dtype = find(root, "dtype");
    const char *type = json_item_text(dtype ? dtype : find(root, "torch_dtype"));
    m->is_bf16 = strcmp(type, "bfloat16") == 0 || strcmp(type, "torch.bfloat16") == 0;
    if (json_item_kind(tied) == JSON_KIND_BOOL)
        m->tied = json_item_int(tied) ? MODEL_TIED_YES : MODEL_TIED_NO;
    if (json_item_kind(layers) == JSON_KIND_INT && json_item_int(layers) > 0 &&
        json_item_int(layers) <= MAX_LAYERS)
        m->layers = json_item_int(layers);
    else if (json_item_kind(layers) != JSON_KIND_NULL)
        m->problem = arena_printf(
            a, e, "%s: num_hidden_layers: expected a number of layers, found %s", m->path,
            json_item_kind(layers) == JSON_KIND_INT ? "one that no model has" : json_item_kind_text(layers));
    TRY(e->code);
    return json_item_kind(root) == JSON_KIND_MAP ? take_attention(m, root, a, e) : ERR_OK;
}

/* Was it an error of the moment (an input error, too many open files, a server that is restarted), of which
 * nothing is known of the model? One file that we may not read stays one. */
static int is_passing(const char *file, const struct err *bad)
{
    return bad->code == ERR_SYSTEM && (access(file, R_OK) == 0 || errno != EACCES);
}

err_t model_config_read(struct model_config *m, const char *path, struct arena *a, struct err *e)
{
    *m = (struct model_config){.layers = 0};
    struct stat st;
    int is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    const char *folder = is_folder ? path : path_dir(a, path, e);
    char *file = folder ? path_join(a, folder, "config.json", e) : NULL;
    if (!file)
        return e->code;
    int there = stat(file, &st) == 0;
    if (!there && (errno == ENOENT || errno == ENOTDIR))
        return ERR_OK;
    m->path = file;
    char *text = NULL;
    int64_t n;
    struct json_doc *doc = NULL;
    struct err bad;
    err_clear(&bad);
    if (!there)
        err_set(&bad, ERR_SYSTEM, "%s: cannot be examined: %s", file, strerror(errno));
    else if (!S_ISREG(st.st_mode)) /* a pipe would be waited for */
        err_set(&bad, ERR_DATA, "%s: expected a file", file);
    else if (file_read(a, file, MAX_BYTES, &text, &n, &bad) == ERR_OK)
        json_doc_parse_python(&doc, file, text, n, a, &bad);
    arena_drop(a, text);
    if (bad.code == ERR_OK)
        take(m, json_doc_root(doc), a, e);
    else if (is_passing(file, &bad))
        return err_set(e, ERR_SYSTEM, "%s", bad.text);
    else if (!(m->problem = arena_strdup(a, bad.text, e)))
        return e->code;
    json_doc_release(doc);
    return e->code;
}
