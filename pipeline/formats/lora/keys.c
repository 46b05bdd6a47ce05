#include "formats/lora/keys.h"

#include <string.h>

/* The parts of an adapter, as a word of a name. */
static const struct word {
    const char *text;
    enum lora_kind kind, bias;
} words[] = {
    {"lora_A", LORA_A, LORA_UNKNOWN},
    {"lora_B", LORA_B, LORA_B_BIAS},
    {"lora_embedding_A", LORA_EMBEDDING_A, LORA_UNKNOWN},
    {"lora_embedding_B", LORA_EMBEDDING_B, LORA_UNKNOWN},
    {"lora_magnitude_vector", LORA_MAGNITUDE, LORA_UNKNOWN},
};

enum { WORDS = sizeof words / sizeof *words };

/* ---- words of a name ---- */

/* The last place where `word` stands in a name as a word of its own; NULL: nowhere. */
static const char *find_word(const char *name, const char *word)
{
    const size_t n = strlen(word);
    const char *found = NULL;
    for (const char *p = name; (p = strstr(p, word)) != NULL; p++)
        if ((p == name || p[-1] == '.') && (p[n] == '.' || p[n] == '\0'))
            found = p;
    return found;
}

static int begins(const char **name, const char *with)
{
    const size_t n = strlen(with);
    if (strncmp(*name, with, n) != 0)
        return 0;
    *name += n;
    return 1;
}

/* A name without what stands before those of the model: of a wrapper that trains it, of the compiler, of the
 * adapter. */
static const char *unwrapped(const char *name)
{
    while (begins(&name, "module.") || begins(&name, "_orig_mod.") || begins(&name, "_fsdp_wrapped_module."))
        ;
    if (!begins(&name, "base_model.model."))
        return name;
    while (begins(&name, "_orig_mod."))
        ;
    return name;
}

/* Takes every occurrence of a word out of a name, in place. Returns how many there were. */
static int take_out(char *name, const char *word)
{
    int n = 0;
    for (char *p; (p = (char *)find_word(name, word)) != NULL; n++) {
        char *behind = p + strlen(word);
        if (*behind == '.')
            memmove(p, behind + 1, strlen(behind + 1) + 1);
        else if (p > name)
            p[-1] = '\0';
        else
            *p = '\0';
    }
    return n;
}

/* Takes "WORD." out of a name, and the word behind it, which is an adapter's name, unless it is the last. */
static int take_out_named(char *name, const char *word, const char **adapter, struct arena *a, struct err *e)
{
    char *p = (char *)find_word(name, word);
    if (!p)
        return 0;
    char *behind = p + strlen(word);
    char *end = *behind == '.' ? strchr(behind + 1, '.') : NULL;
    if (end)
        *adapter = arena_strndup(a, behind + 1, (size_t)(end - behind - 1), e);
    if (!end && *behind == '.')
        end = behind;
    if (end)
        memmove(p, end + 1, strlen(end + 1) + 1);
    return 1;
}

/* ---- keys ---- */

/* What stands behind the word: nothing, ".weight", ".bias", ".NAME" or ".NAME.weight". Returns 0 where it is
 * none of these. */
static int read_behind(const char *behind, int *bias, const char **adapter, struct arena *a, struct err *e)
{
    *bias = 0;
    *adapter = "";
    if (*behind == '\0')
        return 1;
    const char *last = strrchr(behind, '.');
    int ends = strcmp(last, ".weight") == 0 || strcmp(last, ".bias") == 0;
    *bias = strcmp(last, ".bias") == 0;
    const char *end = ends ? last : behind + strlen(behind);
    if (end == behind)
        return 1;
    *adapter = arena_strndup(a, behind + 1, (size_t)(end - behind - 1), e);
    return *adapter == NULL || strchr(*adapter, '.') == NULL;
}

static err_t read_factor(struct lora_key *k, const struct word *w, const char *name, const char *at,
                         struct arena *a, struct err *e)
{
    int bias;
    if (!read_behind(at + strlen(w->text), &bias, &k->adapter, a, e) || at == name)
        return ERR_OK; /* unknown */
    char *module = arena_strndup(a, name, (size_t)(at - name - 1), e);
    if (!module)
        return e->code;
    for (char *dot; (dot = strrchr(module, '.')) && strcmp(dot, ".base_layer") == 0; k->depth++)
        *dot = '\0';
    k->module = module;
    k->kind = bias ? w->bias : w->kind;
    return ERR_OK;
}

static err_t read_tokens(struct lora_key *k, const char *name, const char *at, struct arena *a, struct err *e)
{
    int bias;
    if (!read_behind(at + strlen("trainable_tokens_delta"), &bias, &k->adapter, a, e) || bias)
        return ERR_OK;
    char *module = arena_strndup(a, name, (size_t)(at - name), e);
    if (!module)
        return e->code;
    module[strlen(module) > 0 ? strlen(module) - 1 : 0] = '\0';
    take_out(module, "token_adapter");
    k->module = module;
    k->kind = LORA_TOKENS;
    return ERR_OK;
}

/* A tensor of the model under its own name, whatever it is wrapped in. */
static err_t read_whole(struct lora_key *k, const char *name, struct arena *a, struct err *e)
{
    char *own = arena_strdup(a, name, e);
    if (!own)
        return e->code;
    if (find_word(own, "original_module") || find_word(own, "trainable_tokens_original") ||
        find_word(own, "token_indices")) {
        k->kind = LORA_NOTHING;
        k->module = own;
        return ERR_OK;
    }
    k->kind = take_out_named(own, "modules_to_save", &k->adapter, a, e) ? LORA_SAVED : LORA_WHOLE;
    k->wrapped = take_out(own, "base_layer") > 0;
    take_out(own, "token_adapter");
    k->module = own;
    return e->code;
}

/* A word that begins as those of an adapter do, and is none of them. */
static int has_other_part(const char *name)
{
    for (const char *p = name; (p = strstr(p, "lora_")) != NULL; p++)
        if (p == name || p[-1] == '.')
            return 1;
    return 0;
}

err_t lora_key_read(struct lora_key *k, const char *name, struct arena *a, struct err *e)
{
    *k = (struct lora_key){.kind = LORA_UNKNOWN, .module = name, .adapter = ""};
    name = unwrapped(name);
    for (int i = 0; i < WORDS; i++) {
        const char *at = find_word(name, words[i].text);
        if (at)
            return read_factor(k, &words[i], name, at, a, e);
    }
    const char *at = find_word(name, "trainable_tokens_delta");
    if (at)
        return read_tokens(k, name, at, a, e);
    return has_other_part(name) ? ERR_OK : read_whole(k, name, a, e);
}

int lora_key_is_factor(const char *name)
{
    if (!strstr(name, "lora_"))
        return 0;
    for (int i = 0; i < WORDS; i++)
        if (find_word(name, words[i].text))
            return 1;
    return 0;
}
