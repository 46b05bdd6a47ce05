#include "command/guess.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { MOST_DIGITS = 12 /* of a step or seed */, MOST_LETTERS = 100 /* of a name */ };

/* Before a step's number. */
static const char *const step_words[] = {"step",  "checkpoint", "ckpt",  "iter", "iteration",
                                         "epoch", "update",     "round", "it",   NULL};
static const char *const seed_words[] = {"seed", "rng", NULL};

/* Algorithms of preference and reinforcement learning under the names that the field gives them. */
static const char *const algorithm_words[] = {
    "ppo",  "grpo",    "dapo",  "drgrpo", "gspo", "gmpo",  "cispo", "rloo",    "remax", "reinforce",
    "vapo", "vineppo", "prime", "dpo",    "ipo",  "kto",   "orpo",  "simpo",   "cpo",   "sppo",
    "spin", "xpo",     "nash",  "raft",   "rft",  "star",  "rlvr",  "rlhf",    "rlaif", "bco",
    "rrhf", "slic",    "papo",  "opo",    "sapo", "gigpo", "opd",   "distill", NULL,
};

/* Models before training, the most likely first. */
static const char *const base_words[] = {"base", "base_model", "base-model", "pretrained",
                                         "init", "initial",    "start",      "sft",
                                         "ref",  "reference",  "instruct",   NULL};

static const char *const ordinary_words[] = {
    "actor",        "policy",    "model",   "models",        "checkpoint",
    "checkpoints",  "ckpt",      "ckpts",   "output",        "outputs",
    "trainer",      "runs",      "run",     "results",       "huggingface",
    "hf",           "final",     "weights", "merged",        "saves",
    "latest",       "snapshots", "adapter", "pytorch_model", "pytorch_model_fsdp",
    "consolidated", NULL,
};
static const char *const part_words[] = {"optimizer", "optim", "original", "sharded",     "huggingface",
                                         "tokenizer", "wandb", "logs",     "tensorboard", "dataloader",
                                         "blobs",     "refs",  NULL};
static const char *const beside_words[] = {
    "optim",       "scheduler", "rng_state",    "random_state",  "scaler",    "training_args",
    "extra_state", "adapter",   "logits",       "trainer_state", "events",    "dataloader",
    "data.pt",     "delta",     "consolidated", "zero_pp_rank",  "bf16_zero", "mp_rank",
    NULL};

/* Is it, in any case, one of the words? Its number from 1, else 0. */
static int listed(const char *const *words, const char *s, int n)
{
    for (int i = 0; words[i]; i++)
        if ((int)strlen(words[i]) == n && strncasecmp(words[i], s, (size_t)n) == 0)
            return i + 1;
    return 0;
}

/* A run of letters, or of digits; what stands between them parts them. */
struct token {
    int at, n, digits;
};

static int is_digit(char c)
{
    return isdigit((unsigned char)c) != 0;
}

static int is_letter(char c)
{
    return isalpha((unsigned char)c) != 0;
}

/* The token from `at` on; n is 0 at the end. */
static struct token token_at(const char *s, int n, int at)
{
    while (at < n && !is_digit(s[at]) && !is_letter(s[at]))
        at++;
    struct token t = {.at = at, .digits = at < n && is_digit(s[at])};
    while (at + t.n < n && (t.digits ? is_digit(s[at + t.n]) : is_letter(s[at + t.n])))
        t.n++;
    return t;
}

static int64_t number_of(const char *s, struct token t)
{
    int64_t value = 0;
    if (t.n > MOST_DIGITS)
        return -1;
    for (int i = 0; i < t.n; i++)
        value = 10 * value + (s[t.at + i] - '0');
    return value;
}

/* A number and the word before it. */
static void take_number(struct guess *g, const char *s, int n, struct token before, struct token t)
{
    int64_t value = number_of(s, t);
    int alone = before.n == 0 && t.at == 0 && t.n == n; /* "100" */
    int short_seed =
        before.at == 0 && before.n == 1 && (s[0] == 's' || s[0] == 'S') && t.at + t.n == n; /* "s1" */
    if (value < 0)
        return;
    if (alone || listed(step_words, s + before.at, before.n)) {
        g->step = value;
        g->step_at = (struct span){t.at, t.n};
    } else if (short_seed || listed(seed_words, s + before.at, before.n)) {
        g->seed = value;
        g->seed_at = (struct span){t.at, t.n};
    }
}

struct guess guess_name(const char *name, int n)
{
    struct guess g = {.step = -1, .seed = -1};
    struct token before = {0};
    for (struct token t = token_at(name, n, 0); t.n > 0; before = t, t = token_at(name, n, t.at + t.n)) {
        if (t.digits)
            take_number(&g, name, n, before, t);
        else if (g.algorithm_at.n == 0 && listed(algorithm_words, name + t.at, t.n))
            g.algorithm_at = (struct span){t.at, t.n};
    }
    g.base = listed(base_words, name, n);
    g.ordinary = listed(ordinary_words, name, n) > 0;
    return g;
}

int guess_is_part(const char *name)
{
    for (int i = 0; part_words[i]; i++)
        if (strncasecmp(name, part_words[i], strlen(part_words[i])) == 0)
            return 1;
    return 0;
}

int guess_is_beside(const char *name)
{
    for (int i = 0; beside_words[i]; i++)
        for (const char *p = name; *p; p++)
            if (strncasecmp(p, beside_words[i], strlen(beside_words[i])) == 0)
                return 1;
    return 0;
}

char *guess_word(struct arena *a, const char *text, int n, struct err *e)
{
    while (n > 0 && !is_letter(*text) && !is_digit(*text)) {
        text++;
        n--;
    }
    char *word = arena_strndup(a, n > 0 ? text : "model",
                               n > 0 ? (size_t)(n < MOST_LETTERS ? n : MOST_LETTERS) : 5, e);
    for (char *p = word; p && *p; p++)
        if (((unsigned char)*p >= 0x80 || !(is_letter(*p) || is_digit(*p))) && *p != '.' && *p != '_' &&
            *p != '-')
            *p = '-';
    return word;
}
