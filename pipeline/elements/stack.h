/* Stack: which stack of layers a tensor belongs to, by its name. A model may have several: a language model
 * and a vision tower, an encoder and a decoder, layers of multi-token prediction. Each numbers its layers
 * from 0, so a layer is known by its stack and its number.
 *
 * What a single name says is read by the table of words in stack.c (stack_place_of). Whether
 * "decoder.layers.3" is the language model or one half of a translator the name alone does not tell: that
 * hangs on what else the checkpoint has, and so all its names are seen before any is placed (struct stacks).
 */
#ifndef SINEW_STACK_H
#define SINEW_STACK_H

#include <stdint.h>

enum { STACK_BYTES = 64 }; /* room for a stack's name, the end included */

/* What a name says of its stack.
 * STACK_OWN: nothing but words that any language model has in front of its layers (model, transformer,
 * module, ...); STACK_NAMED: other words (encoder, decoder, actor); STACK_TOWER: what stands beside a
 * language model (vision_tower, audio_tower, a projector, a draft model); STACK_MTP: multi-token prediction
 * by name (mtp.layers.0, mtp.fc). */
enum stack_kind { STACK_OWN, STACK_NAMED, STACK_TOWER, STACK_MTP };

struct stack_place {
    int64_t layer; /* as tensor_layer; -1: in no layer */
    enum stack_kind kind;
    char stack[STACK_BYTES]; /* "visual", "vision_tower", "encoder", "mtp"; "" for a language model's own */
};

/* What all names of a checkpoint say. Zeroed: none was seen. */
struct stacks {
    int own; /* some layer is STACK_OWN */
    struct stacks_of {
        char first[STACK_BYTES]; /* "": there is none */
        int more;                /* another differs from it */
    } named, towers;
};

/* Local, pure. What the name says by itself. A tensor in no layer has the stack of its tower, of multi-token
 * prediction, or of an encoder or decoder at the front; else "". Cost: that of the name's length. */
void stack_place_of(const char *name, struct stack_place *p);

/* Local. One more name of the checkpoint; order does not matter but to which of several comes first. */
void stacks_see(struct stacks *s, const char *name);

/* Local, pure. The name's place among all that were seen: the stack is "" for the model's main one. That is
 * STACK_OWN; in a checkpoint without, the only STACK_NAMED one (model.decoder.layers of OPT), or where there
 * is none of these either the only tower (a vision tower by itself). An encoder and a decoder are two, and
 * keep their names; without layers they are none. p->kind stays what the name says. */
void stacks_place(const struct stacks *s, const char *name, struct stack_place *p);

#endif
