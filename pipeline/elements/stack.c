#include "elements/stack.h"

#include "elements/tensor.h"

#include <string.h>

enum fit { IS, BEGINS, HAS };

/* What a word in front of a layer says.
 * PASSED: nothing. SENSE: a tower that reads pictures or sound; words of the same kind inside it (its
 * vision_model, its encoder) say nothing more. BESIDE: another part beside a language model. HALF: of an
 * encoder-decoder, also where there is no layer. */
enum says { PASSED, SENSE, BESIDE, HALF, MTP, UNKNOWN };

static const struct word_rule {
    enum fit fit;
    const char *word;
    enum says says;
} rules[] = {
    /* what wraps a model: torch.compile, DDP, FSDP, checkpointing, PEFT, TRL's value head */
    {IS, "_orig_mod", PASSED},
    {IS, "module", PASSED},
    {IS, "_fsdp_wrapped_module", PASSED},
    {IS, "_checkpoint_wrapped_module", PASSED},
    {IS, "base_model", PASSED},
    {IS, "pretrained_model", PASSED},
    /* what a language model is called in its own checkpoint; before the towers: "vision_language_model" */
    {IS, "", PASSED},
    {IS, "model", PASSED},
    {HAS, "language_model", PASSED},
    {IS, "text_model", PASSED},
    {IS, "transformer", PASSED},
    {IS, "gpt_neox", PASSED},
    {IS, "backbone", PASSED},
    {IS, "llm", PASSED},
    {IS, "lm", PASSED},
    {IS, "thinker", PASSED},
    {BEGINS, "mtp", MTP},
    {HAS, "vision", SENSE},
    {HAS, "visual", SENSE},
    {HAS, "image", SENSE},
    {BEGINS, "img", SENSE},
    {HAS, "video", SENSE},
    {HAS, "audio", SENSE},
    {HAS, "speech", SENSE},
    {IS, "timm_model", SENSE},
    {IS, "sam_model", SENSE},
    {IS, "vit", SENSE},
    {IS, "vpm", SENSE},
    {IS, "apm", SENSE},
    {BEGINS, "multi_modal", BESIDE},
    {HAS, "projector", BESIDE},
    {HAS, "resampler", BESIDE},
    {HAS, "qformer", BESIDE},
    {HAS, "perceiver", BESIDE},
    {BEGINS, "draft", BESIDE},
    {BEGINS, "eagle", BESIDE},
    {BEGINS, "medusa", BESIDE},
    {IS, "talker", BESIDE},
    {IS, "code2wav", BESIDE},
    {IS, "token2wav", BESIDE},
    {IS, "encoder", HALF},
    {IS, "decoder", HALF},
};

static int fits(const struct word_rule *r, const char *word, size_t n)
{
    size_t len = strlen(r->word);
    if (n < len || (r->fit == IS && n != len))
        return 0;
    size_t last = r->fit == HAS ? n - len : 0;
    for (size_t at = 0; at <= last; at++)
        if (memcmp(word + at, r->word, len) == 0)
            return 1;
    return 0;
}

static enum says says_of(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (fits(&rules[i], word, n))
            return rules[i].says;
    return UNKNOWN;
}

/* Adds a word to the stack's name, cut where a character of UTF-8 begins. */
static void join(char *stack, const char *word, size_t n)
{
    size_t used = strlen(stack), room = STACK_BYTES - 1 - used;
    if (used > 0 && room > 0) {
        stack[used++] = '.';
        room--;
    }
    if (n > room)
        for (n = room; n > 0 && ((unsigned char)word[n] & 0xc0) == 0x80;)
            n--;
    memcpy(stack + used, word, n);
    stack[used + n] = '\0';
}

/* The words of the prefix, front to back. A tower's name begins with its own word, whatever stands before:
 * model.embed_tokens_extend.image_embed is image_embed. */
struct stack_reading {
    struct stack_place *p;
    int sense; /* it is a tower of pictures or sound */
    int owned; /* a word that says nothing of stacks was passed over */
};

static void take_word(struct stack_reading *r, const char *word, size_t n)
{
    struct stack_place *p = r->p;
    enum says says = says_of(word, n);
    int named_before = p->kind == STACK_OWN || p->kind == STACK_NAMED;
    int encoder = says == HALF && word[0] == 'e';
    if (says == PASSED || (r->sense && says == SENSE) || (p->kind == STACK_TOWER && encoder))
        return;
    if (named_before && (says == SENSE || says == BESIDE || says == MTP)) {
        p->stack[0] = '\0';
        p->kind = says == MTP ? STACK_MTP : STACK_TOWER;
        r->sense = says == SENSE;
    } else if (p->kind == STACK_OWN)
        p->kind = STACK_NAMED;
    join(p->stack, word, n);
}

/* The words that tell the stack of a tensor in no layer: those of towers and multi-token prediction, and an
 * encoder or decoder at the front. Others are its owners (lm_head, norm). */
static int tells_without_layer(const struct stack_reading *r, const char *word, size_t n)
{
    enum says says = says_of(word, n);
    if (says == HALF)
        return r->p->kind == STACK_OWN && !r->owned;
    return (r->p->kind == STACK_OWN || r->p->kind == STACK_NAMED) && says != UNKNOWN;
}

void stack_place_of(const char *name, struct stack_place *p)
{
    const char *end = tensor_layer_word(name, &p->layer), *dot;
    int in_layer = end != NULL;
    struct stack_reading r = {.p = p};
    p->kind = STACK_OWN;
    p->stack[0] = '\0';
    if (!in_layer) /* all words but the parameter's own */
        end = strrchr(name, '.') ? strrchr(name, '.') + 1 : name;
    for (const char *word = name; word < end; word = dot + 1) {
        dot = memchr(word, '.', (size_t)(end - word));
        size_t n = (size_t)(dot - word);
        if (in_layer || tells_without_layer(&r, word, n))
            take_word(&r, word, n);
        else
            r.owned = 1;
    }
}

static void see(struct stacks_of *of, const char *stack)
{
    if (of->first[0] == '\0')
        memcpy(of->first, stack, STACK_BYTES);
    else if (strcmp(of->first, stack) != 0)
        of->more = 1;
}

void stacks_see(struct stacks *s, const char *name)
{
    struct stack_place p = {.stack = ""};
    stack_place_of(name, &p);
    if (p.layer < 0)
        return;
    if (p.kind == STACK_OWN)
        s->own = 1;
    else if (p.kind != STACK_MTP)
        see(p.kind == STACK_NAMED ? &s->named : &s->towers, p.stack);
}

void stacks_place(const struct stacks *s, const char *name, struct stack_place *p)
{
    stack_place_of(name, p);
    const struct stacks_of *of = s->named.first[0] ? &s->named : &s->towers;
    if (!s->own && !of->more && strcmp(p->stack, of->first) == 0)
        p->stack[0] = '\0';
    if (p->layer < 0 && p->kind == STACK_NAMED && s->named.first[0] == '\0')
        p->stack[0] = '\0'; /* a head that is called decoder */
}
